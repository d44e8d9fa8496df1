"""Does a run still stand for what its run.json says? Recomputes what can be recomputed: no model, no GPU.

Hashes of config, samples, template and prompts; and for each record its id, prompt length, target and text.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ..tasks.task import Sample, Task
from .generate import Request
from .job import provenance
from .job.errors import USER_ERRORS, one_line
from .job.fingerprint import changes, listed
from .job.identity import identity
from .job.made_of import made_of, weights
from .job.prompts import Prompts
from .job.resume import unrecorded
from .model import Checkpoint, Tokenizer
from .record import Record, RunFolder, run_folders


def verify(runs_dir: Path) -> int:
    """Print what does not match in the runs below a folder; returns how many runs that concerns."""
    folders = run_folders(runs_dir)
    if not folders:
        raise ValueError(f"RUNS_DIR={runs_dir}: no run.json below it, give the folder that the runs were written below")
    wrong = 0
    for path in folders:
        folder = RunFolder(path=path)
        found = list(mismatches(folder))
        wrong += bool(found)
        print("\n".join(f"{path}: {line}" for line in found or [as_recorded(folder)]), flush=True)
    print(f"{len(folders)} runs, {len(folders) - wrong} as recorded, {wrong} not")
    return wrong


def as_recorded(folder: RunFolder) -> str:
    missing = ", ".join(unrecorded(folder.run()))
    return f"as recorded ({missing}: not recorded)" if missing else "as recorded"


def mismatches(folder: RunFolder) -> Iterator[str]:
    """A line for each kind of thing that does not match, or cannot be checked."""
    try:
        run = folder.run()
        if run["identity"] != identity(run["labels"], run["config"], run.get("identity_version", 1)):
            yield "identity: config or labels were changed after the run began"
        task, checkpoint = (instantiate(DictConfig(run["config"])[part]) for part in ("task", "model"))
        asked = Prompts(task=task, checkpoint=checkpoint, max_tokens=run["config"]["max_tokens"])
        samples, tokenizer = task.samples[: run["num_samples"]], checkpoint.tokenizer()
        requests = asked.requests(samples, run["num_draws"], tokenizer)
        yield from hashes(run, task, samples, requests, tokenizer)
        yield from made_otherwise(run, checkpoint)
        yield from texts(folder.records(), samples, requests, tokenizer)
    except (*USER_ERRORS, KeyError, TypeError) as error:
        yield f"cannot be checked: {one_line(error)}"


def made_otherwise(run: Mapping[str, Any], checkpoint: Checkpoint) -> Iterator[str]:
    if then := run.get("fingerprints"):
        now = made_of(run["config"], checkpoint) | {"weights": weights(checkpoint)}
        for kind, names in changes(then, now).items():
            yield f"{kind}: changed since the run was made ({listed(names)})"


def hashes(
    run: Mapping[str, Any], task: Task, samples: Sequence[Sample], requests: Sequence[Request], tokenizer: Tokenizer
) -> Iterator[str]:
    now = {
        "data_sha256": provenance.samples_digest(samples),
        "template_sha256": provenance.digest([task.template, tokenizer.chat_template]),
        "prompts_sha256": provenance.prompts_digest(requests),
    }
    for name, value in now.items():
        if run.get(name) != value:
            yield f"{name}: {run.get(name, 'not recorded')} then, {value} now"


def texts(
    records: Sequence[Record], samples: Sequence[Sample], requests: Sequence[Request], tokenizer: Tokenizer
) -> Iterator[str]:
    prompts = {request.key: request.prompt for request in requests}
    targets = {sample.id: sample.target for sample in samples}
    for record in records:
        name = f"record {record.sample}, draw {record.draw}"
        if record.key not in prompts:
            yield f"{name}: not of this run"
            continue
        text = tokenizer.decode(record.token_ids, skip_special_tokens=True)
        prompt, target = prompts[record.key], targets[record.sample]
        sha = provenance.prompt_sha(prompt, record.target)
        facts = {
            "prompt_tokens": (record.prompt_tokens, len(prompt)),
            "prompt_sha": (record.prompt_sha or sha, sha),
            "target": (record.target, target),
            "num_tokens": (record.num_tokens, len(record.token_ids)),
            "completion": (record.completion, text),
        }
        wrong = [fact for fact, (then, now) in facts.items() if then != now]
        if wrong:
            yield f"{name}: {', '.join(wrong)} changed"
