"""kvarena: decode one combination of method, model, task and budget, grade each row, go on where it stopped."""

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from .fidelity import with_texts
from .generate import Request
from .interrupt import Stop, shield
from .job import Job, build, provenance, resume
from .job.calibrated import refuse_foreign_calibration
from .job.errors import USER_ERRORS, one_line, one_line_errors, run_command
from .job.halvings import Batches
from .job.identity import VERSION
from .job.made_of import made_of, weights, weights_beside
from .job.order import expected_lengths, longest_first, remember_lengths
from .job.plan import outline, plan, typical
from .job.progress import Progress, Tally
from .job.reference import check_reference, refuse_other_model
from .job.session import hardware, session
from .job.sweep import Outcome, in_share
from .job.typed import refuse_ignored, refuse_ratio_and_bytes, say_draws
from .job.workers import Workers
from .model import Tokenizer, left_out, shape_of
from .record import Locked, RunFolder, end_unread, locked, write_questions
from .weights import read_origin
from .workers import by_torchrun, follow, follows, leading, opens_thought


def evaluate(job: Job) -> Outcome:
    """Run what is missing of a job."""
    folder, name = RunFolder(path=job.folder), job.title
    job.check()
    if job.unfetched:
        return outline(job, folder)
    tokenizer = job.checkpoint.tokenizer()
    there = folder.run() if folder.run_file.exists() else {}
    whole = job.whole(there)
    requests = whole.requests(tokenizer)
    run = header(whole, requests, tokenizer)
    if reference := job.config.get("reference"):
        now = run["fingerprints"] | {"weights": weights(job.checkpoint)}
        check_reference(reference, whole.samples, requests, now)
    if job.storage.learns:
        refuse_foreign_calibration(job.config, weights(job.checkpoint))
    asked, expected = job.asked(requests), expected_lengths(job.config.get("lengths"), run["prompts_sha256"])
    done = resume.done(folder, run, whole.samples, requests, job.accepted)
    missing = [request for request in asked if request.key not in done]
    print(f"{name}: {len(asked) - len(missing)} of {len(asked)} done, {folder.path}", flush=True)
    if there and (job.config["dry_run"] or not missing):
        resume.refuse_changes(folder, {"weights": weights(job.checkpoint)}, job.accepted)
    if job.config["dry_run"] and missing:
        return plan(job, folder, asked, missing)
    if not missing:
        return Outcome(status="skipped", name=name, reason="complete", folder=str(folder.path))
    longest_prompt = max(len(request.prompt) for request in asked)
    with Stop().listen() as stop, locked(folder.path):
        folder.repair()
        done = resume.done(folder, run, whole.samples, requests, job.accepted)
        missing = [request for request in asked if request.key not in done]
        read = weights_beside(job.checkpoint)
        with job.workers.open(job, longest_prompt, folder.path) as workers, stop.listen():
            run["fingerprints"]["weights"] = read()
            refuse_foreign_calibration(job.config, run["fingerprints"]["weights"])
            if reference:  # the hub's weights may not have been there before
                refuse_other_model(reference, run["fingerprints"])
            job.policy.fits(run["fingerprints"]["weights"])
            resume.begin(folder, run | hardware(workers), job.accepted)
            write_questions(folder.path, {sample.id: sample.question for sample in whole.samples})
            work(job, folder, workers, longest_first(missing, expected), typical(job, asked))
        remember_lengths(run["prompts_sha256"], folder.stream())
    return Outcome(status="done", name=name, folder=str(folder.path))


def work(job: Job, folder: RunFolder, workers: Workers, missing: Sequence[Request], typical: float) -> None:
    """Decode, grade and record."""
    tally = Tally()
    tally.add(folder.records())
    progress = Progress(
        name=job.title,
        num_rows=tally.rows + len(missing),
        max_tokens=job.config["max_tokens"],
        typical=typical,
        lengths=workers.lengths,
        tally=tally,
    )
    run = folder.run()
    job.logger.begin(job.title, run["identity"], run, folder.path)
    batches = Batches(folder=folder, sizes=workers.batch_sizes)
    with session(folder, workers, progress), progress.shown():
        for records in workers.run(missing):
            with shield():
                folder.append(*records)
                progress.add(records)
                batches.follow(workers.batch_sizes, tally.rows)
            if records:
                job.logger.log(tally.numbers() | {"tokens_per_s": progress.rate()})
    job.logger.end(tally.numbers() | {"tokens_per_s": progress.rate()}, folder.records())


def header(job: Job, requests: Sequence[Request], tokenizer: Tokenizer) -> dict[str, Any]:
    """run.json, but for the devices."""
    commit, dirty = provenance.commit()
    origin = read_origin(Path(job.checkpoint.source))
    return {
        "identity": job.identity,
        "identity_version": VERSION,
        "labels": job.labels.written(),
        "num_samples": len(job.samples),
        "num_draws": job.config["num_draws"],
        "config": dict(job.config),
        "commit": commit,
        "dirty": dirty,
        "fingerprints": made_of(job.config, job.checkpoint),
        "versions": provenance.versions(),
        "driver": provenance.driver(),
        "data_sha256": provenance.samples_digest(job.samples),
        "template_sha256": provenance.digest([job.task.template, tokenizer.chat_template]),
        "prompts_sha256": provenance.prompts_digest(requests),
        "shape": shape_of(job.checkpoint.config())._asdict(),
        "bytes_share": round(job.bytes_share(shape_of(job.checkpoint.config())), 4),
        "random_weights": bool(getattr(job.checkpoint.config(), "random_weights", False)),
        "batch_variant": job.batch_variant,
        "opens_thought": opens_thought(tokenizer),
        "data_commits": dict(job.task.origin),
        "left_out": left_out(job.checkpoint.asks(), job.config["sampler"]),
        "weights_origin": origin and asdict(origin),
        "option_orders": {s.id: s.meta["order"] for s in job.samples if "order" in s.meta},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def run(config: DictConfig, prepare: Callable[[DictConfig, Sequence[str]], DictConfig]) -> Outcome | None:
    """One combination as Hydra composed it, alone or as a job of a sweep; `prepare` completes its config."""
    context = HydraConfig.get()
    overrides, method = list(context.overrides.task), context.runtime.choices["method"]

    def outcome() -> Outcome:
        refuse_ratio_and_bytes(overrides)
        job = build(prepare(config, overrides), method)
        refuse_ignored(overrides, job.config, sweeps=context.mode == RunMode.MULTIRUN)
        say_draws(overrides, job)
        return evaluate(job)

    if context.mode != RunMode.MULTIRUN:
        with one_line_errors():
            return outcome()
    if not in_share(context.job.num, **config.share):
        return None
    name = " ".join(overrides)
    try:
        return outcome()
    except Locked as error:
        return Outcome(status="skipped", name=name, reason=str(error))
    except BrokenPipeError:
        end_unread()
    except Exception as error:  # whatever it is, the other combinations do not share it
        if not isinstance(error, USER_ERRORS):
            traceback.print_exc()
        print(f"kvarena: {one_line(error)}", file=sys.stderr, flush=True)
        return Outcome(status="failed", name=name, reason=one_line(error))


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="evaluate")
def application(config: DictConfig) -> Outcome | None:
    return run(config, lambda config, overrides: config)


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="fidelity")
def fidelity_application(config: DictConfig) -> Outcome | None:
    """The same on texts that are known: kvarena-fidelity."""
    return run(config, with_texts)


def main() -> None:
    with one_line_errors():
        if follows():
            sys.exit(follow())
        if by_torchrun():
            leading()
    with Stop().listen():
        run_command(application)  # type: ignore[arg-type]


def main_fidelity() -> None:
    with Stop().listen():
        run_command(fidelity_application)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
