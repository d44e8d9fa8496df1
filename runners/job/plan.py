"""What the missing rows of a run will take."""

from collections.abc import Sequence
from pathlib import Path

from ..generate import Request
from ..record import RunFolder
from . import estimate
from .job import Job
from .sweep import Outcome, cost


def plan(job: Job, folder: RunFolder, requests: Sequence[Request], missing: Sequence[Request]) -> Outcome:
    """What the missing rows will take."""
    tokens = estimate.expected_tokens(len(missing), folder.records(), typical(job, requests))
    runs_dir, labels = Path(job.config["runs_dir"]), job.labels
    speed = estimate.speed(runs_dir, labels.model, labels.method) or estimate.benchmarked(
        labels.model, labels.method, labels.tokens, job.task.dense_length
    )
    hours = tokens / speed.tokens_per_s / 3600 if speed else None
    num_bytes = estimate.expected_bytes(tokens, runs_dir)
    reason = cost(tokens, [hours], num_bytes)
    reason += f" at {speed.tokens_per_s:.0f} tokens/s ({speed.source})" if speed else ""
    print(f"  {reason}", flush=True)
    reason = f"{len(requests) - len(missing)} of {len(requests)} done, {reason}"
    return Outcome(
        status="planned",
        name=job.title,
        reason=reason,
        folder=str(folder.path),
        tokens=tokens,
        hours=hours,
        num_bytes=num_bytes,
    )


def typical(job: Job, requests: Sequence[Request]) -> float:
    """Tokens of a dense completion."""
    prompt = sum(len(request.prompt) for request in requests) / len(requests)
    return min(max(job.task.dense_length - prompt, 1), job.config["max_tokens"])
