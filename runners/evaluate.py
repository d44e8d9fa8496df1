"""kvarena: decode one combination of method, model, task and budget, grade each row, go on where it stopped."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from ..tasks.task import Grade, Sample, Task
from . import provenance
from .generate import Decoder, Generation, Request
from .job import Job, build
from .loops import repetition, terminal_loop
from .model import Tokenizer
from .record import Record, RunFolder, append_line


def evaluate(job: Job) -> RunFolder:
    """Run what is missing of a job; returns its folder."""
    folder = RunFolder(path=job.folder)
    folder.check(job.identity)
    job.checkpoint.config()
    tokenizer = job.checkpoint.tokenizer()
    requests = job.requests(tokenizer)
    done = {record.key for record in folder.records()}
    if unknown := done - {(request.sample, request.draw) for request in requests}:
        raise ValueError(f"{folder.records_file} holds a sample that is not of this run: {min(unknown)}")
    missing = [request for request in requests if (request.sample, request.draw) not in done]
    print(f"{describe(job)}: {len(done)} of {len(requests)} done, {folder.path}", flush=True)
    if job.config["dry_run"] or not missing:
        return folder
    model = job.checkpoint.load(job.device)
    folder.begin(header(job, requests))
    folder.repair()
    decoder = job.engine(
        model=model,
        policy=job.policy,
        sampler=job.sampler,
        max_tokens=job.config["max_tokens"],
        longest_prompt=max(len(request.prompt) for request in requests),
        seed=job.config["seed"],
        output_dir=folder.path,
    )
    work(job, folder, decoder, tokenizer, missing)
    return folder


def work(job: Job, folder: RunFolder, decoder: Decoder, tokenizer: Tokenizer, missing: Sequence[Request]) -> None:
    """Decode, grade and record; one line of the sessions file says what it took."""
    samples = {sample.id: sample for sample in job.samples}
    started, start, tokens, right = datetime.now(UTC), time.perf_counter(), 0, 0.0
    with tqdm(total=len(missing), desc=job.labels["method"], unit="row", dynamic_ncols=True) as bar:
        for generation in decoder.run(missing):
            record = judge(job.task, samples[generation.sample], generation, tokenizer)
            folder.append(record)
            tokens, right = tokens + record.num_tokens, right + (record.score or 0)
            bar.update()
            bar.set_postfix_str(f"right {right / bar.n:.2f}, {tokens / (time.perf_counter() - start):.0f} tok/s")
    session = {
        "started": started.isoformat(timespec="seconds"),
        "wall_s": round(time.perf_counter() - start, 3),
        "tokens": tokens,
        "records": len(missing),
        "steps": decoder.steps,
    }
    append_line(folder.sessions_file, session)


def judge(task: Task, sample: Sample, generation: Generation, tokenizer: Tokenizer) -> Record:
    """Decode and grade a completion, never the prompt."""
    completion = text(generation.token_ids, tokenizer)
    if generation.stop == "error":
        grade = Grade(score=None, answer="", note="logits were not finite")
    else:
        grade = task.grader(completion, sample.target, sample.meta)
    loop = terminal_loop(generation.token_ids)
    return Record(
        sample=generation.sample,
        draw=generation.draw,
        token_ids=generation.token_ids,
        completion=completion,
        answer=grade.answer,
        target=sample.target,
        score=grade.score,
        note=grade.note,
        stop=generation.stop,
        prompt_tokens=generation.prompt_tokens,
        num_tokens=len(generation.token_ids),
        loop_onset=loop.onset if loop else None,
        loop_period=loop.period if loop else None,
        loop_character=len(text(generation.token_ids[: loop.onset], tokenizer)) if loop else None,
        prefill_s=round(generation.prefill_s, 6),
        decode_s=round(generation.decode_s, 6),
        second_opinion=grade.second_opinion,
        **generation.usage._asdict(),
        **repetition(generation.token_ids, completion)._asdict(),
    )


def text(token_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return cast(str, tokenizer.decode(list(token_ids), skip_special_tokens=True))


def header(job: Job, requests: Sequence[Request]) -> dict[str, Any]:
    """run.json."""
    commit, dirty = provenance.commit()
    return {
        "identity": job.identity,
        "labels": dict(job.labels),
        "num_samples": len(job.samples),
        "num_draws": job.config["num_draws"],
        "config": dict(job.config),
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "device": provenance.device_name(job.device),
        "data_commits": dict(job.task.origin),
        "option_orders": {s.id: s.meta["order"] for s in job.samples if "order" in s.meta},
        "data_sha256": provenance.digest([[s.id, s.question, s.target] for s in job.samples]),
        "prompts_sha256": provenance.digest([[r.sample, list(r.prompt)] for r in requests]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def describe(job: Job) -> str:
    labels = job.labels
    budget = f", ratio {labels['ratio']:g}, {labels['tokens']} tokens" if labels["tokens"] else ""
    return f"{labels['method']} on {labels['task']}{budget}"


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="evaluate")
def application(config: DictConfig) -> None:
    with one_line_errors():
        evaluate(build(config, HydraConfig.get().runtime.choices["method"]))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the user got wrong, in one line without the frames around it; exit code 2."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        cause: BaseException = error
        while isinstance(cause, InstantiationException) and cause.__cause__ is not None:
            cause = cause.__cause__
        message = " ".join(str(cause).split("Config search path")[0].split())
        print(f"kvarena: {message}", file=sys.stderr)
        sys.exit(2)


def main() -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra would print lines of its own and exit with 1
    with one_line_errors():
        application()  # type: ignore[call-arg]


if __name__ == "__main__":
    main()
