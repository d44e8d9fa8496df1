"""What the missing rows of a run will take."""

from collections.abc import Sequence
from pathlib import Path

from ..generate import Request
from ..record import RunFolder
from . import estimate, provenance
from .estimate import Speed
from .job import Job
from .sweep import Outcome, cost


def plan(job: Job, folder: RunFolder, requests: Sequence[Request], missing: Sequence[Request]) -> Outcome:
    """What the missing rows will take."""
    return estimated(job, folder, len(requests), len(missing), typical(job, requests))


def outline(job: Job, folder: RunFolder) -> Outcome:
    """The same with nothing asked of the hub: prompts are not known, and what is there is counted, not compared."""
    num_rows = job.num_samples * job.config["num_draws"]
    done = len(folder.records())
    print(f"{job.title}: {done} of {num_rows} done, {folder.path}; not fetched: {', '.join(job.unfetched)}", flush=True)
    if done >= num_rows:
        return Outcome(status="skipped", name=job.title, reason="complete", folder=str(folder.path))
    return estimated(job, folder, num_rows, num_rows - done, min(job.task.dense_length, job.config["max_tokens"]))


def estimated(job: Job, folder: RunFolder, num_rows: int, num_missing: int, typical: float) -> Outcome:
    tokens, runs_dir = estimate.expected_tokens(num_missing, folder.records(), typical), Path(job.config["runs_dir"])
    speed = speed_of(job)
    hours = tokens / speed.tokens_per_s / 3600 if speed else None
    num_bytes = estimate.expected_bytes(tokens, runs_dir)
    device = speed.device if speed and not (job.device and speed.device == provenance.device_name(job.device)) else ""
    reason = cost(tokens, [hours], num_bytes, [device])
    reason += f" at {speed.tokens_per_s:.0f} tokens/s ({speed.source})" if speed else ""
    print(f"  {reason}", flush=True)
    return Outcome(
        status="planned",
        name=job.title,
        reason=f"{num_rows - num_missing} of {num_rows} done, {reason}",
        folder=str(folder.path),
        tokens=tokens,
        hours=hours,
        device=device,
        num_bytes=num_bytes,
    )


def speed_of(job: Job) -> Speed | None:
    """As measured below runs_dir, or else on the device of the benchmark, unless the run is for a CPU."""
    runs_dir, labels = Path(job.config["runs_dir"]), job.labels
    if speed := estimate.speed(runs_dir, labels.model, labels.method):
        return speed
    if job.config["device"] == "cpu":
        return None
    return estimate.benchmarked(labels.model, labels.method, labels.tokens, job.task.dense_length)


def typical(job: Job, requests: Sequence[Request]) -> float:
    """Tokens of a dense completion."""
    prompt = sum(len(request.prompt) for request in requests) / len(requests)
    return min(max(job.task.dense_length - prompt, 1), job.config["max_tokens"])
