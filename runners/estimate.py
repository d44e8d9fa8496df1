"""What a run will take, from what runs took before."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .record import Record, RunFolder


class Speed(NamedTuple):
    tokens_per_s: float  # of one worker
    device: str


class Session(NamedTuple):
    """One process at work on a run."""

    started: str
    method: str
    device: str
    tokens: int
    worker_s: float  # seconds times workers


def expected_tokens(num_missing: int, done: Sequence[Record], typical: float) -> int:
    """Tokens of the missing completions: as long as those done, or as the task's dense ones."""
    mean = sum(record.num_tokens for record in done) / len(done) if done else typical
    return round(num_missing * mean)


def speed(runs_dir: Path, model: str, method: str) -> Speed | None:
    """As measured in the runs of the model below a folder, of this method if there are any, on the device used last.

    None: nothing was measured yet.
    """
    found = [session for session in sessions(runs_dir, model) if session.tokens]
    found = [session for session in found if session.method == method] or found
    if not found:
        return None
    device = max(found).device
    found = [session for session in found if session.device == device]
    return Speed(sum(each.tokens for each in found) / sum(each.worker_s for each in found), device)


def sessions(runs_dir: Path, model: str) -> Iterator[Session]:
    for path in sorted(runs_dir.rglob("run.json")):
        folder = RunFolder(path=path.parent)
        run = folder.run()
        if run["labels"]["model"] != model:
            continue
        for line in folder.sessions():
            device, workers = line.get("device", run["device"]), line.get("num_workers", 1)
            yield Session(line["started"], run["labels"]["method"], device, line["tokens"], line["wall_s"] * workers)
