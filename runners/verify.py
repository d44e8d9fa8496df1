"""Does a run still stand for what its run.json says? Recomputes what can be recomputed: no model, no GPU.

Hashes of config, samples, template and prompts; and for each record its id, prompt length, target and text.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig

from .generate import Request
from .job import Job, build, provenance
from .model import Tokenizer
from .record import Record, RunFolder

# nothing of these is needed to read a run
HERE = {
    "workers": {"_target_": "kvarena.runners.workers.local.Local"},
    "attention": {"_target_": "kvarena.runners.attention.Own"},
    "logger": {"_target_": "kvarena.runners.job.logger.Silent"},
    "num_workers": 1,
    "device": "cpu",
}


def verify(runs_dir: Path) -> int:
    """Print what does not match in the runs below a folder; returns how many runs that concerns."""
    files = sorted(runs_dir.rglob("run.json"))
    if not files:
        raise ValueError(f"RUNS_DIR={runs_dir}: no run.json below it, give the folder that the runs were written below")
    wrong = 0
    for file in files:
        found = list(mismatches(RunFolder(path=file.parent)))
        wrong += bool(found)
        print("\n".join(f"{file.parent}: {line}" for line in found or ["as recorded"]), flush=True)
    print(f"{len(files)} runs, {len(files) - wrong} as recorded, {wrong} not")
    return wrong


def mismatches(folder: RunFolder) -> Iterator[str]:
    """A line for each kind of thing that does not match, or cannot be checked."""
    try:
        run = folder.run()
        if run["identity"] != provenance.identity(run["labels"], run["config"]):
            yield "identity: config or labels were changed after the run began"
        job = build(DictConfig(run["config"] | HERE), run["labels"]["method"])
        tokenizer = job.checkpoint.tokenizer()
        requests = job.requests(tokenizer)
        yield from hashes(run, job, tokenizer, requests)
        yield from texts(folder.records(), job, tokenizer, requests)
    except (ValueError, KeyError, TypeError, OSError, InstantiationException) as error:
        reason = error.__cause__ if isinstance(error, InstantiationException) else error
        yield f"cannot be checked: {' '.join(str(reason).split())}"


def hashes(run: dict[str, Any], job: Job, tokenizer: Tokenizer, requests: list[Request]) -> Iterator[str]:
    now = {
        "data_sha256": provenance.samples_digest(job.samples),
        "template_sha256": provenance.digest([job.task.template, tokenizer.chat_template]),
        "prompts_sha256": provenance.prompts_digest(requests),
    }
    for name, value in now.items():
        if run.get(name) != value:
            yield f"{name}: {run.get(name, 'not recorded')} then, {value} now"


def texts(records: list[Record], job: Job, tokenizer: Tokenizer, requests: list[Request]) -> Iterator[str]:
    prompts = {request.key: len(request.prompt) for request in requests}
    targets = {sample.id: sample.target for sample in job.samples}
    for record in records:
        name = f"record {record.sample}, draw {record.draw}"
        if record.key not in prompts:
            yield f"{name}: not of this run"
            continue
        text = tokenizer.decode(record.token_ids, skip_special_tokens=True)
        facts = {
            "prompt_tokens": (record.prompt_tokens, prompts[record.key]),
            "target": (record.target, targets[record.sample]),
            "num_tokens": (record.num_tokens, len(record.token_ids)),
            "completion": (record.completion, text),
        }
        wrong = [fact for fact, (then, now) in facts.items() if then != now]
        if wrong:
            yield f"{name}: {', '.join(wrong)} changed"
