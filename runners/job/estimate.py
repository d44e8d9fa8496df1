"""What a run will take, from what runs took before, or from a benchmark of decode steps where none did."""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from ..record import DENSE, Labels, Record, RunFolder

BENCHMARK = "engine_h100.csv"  # of kvarena-benchmark
# what a token takes of records.jsonl, as long as no record shows it: an id of six digits, ", " and four letters
TOKEN_BYTES = 12
SIZE = re.compile(r"_(\d+(?:_\d+)?)b\b")  # billions of parameters in a model's name: qwen3_0_6b


class Speed(NamedTuple):
    tokens_per_s: float  # of one worker
    source: str  # the device, or the line of the benchmark

    @property
    def device(self) -> str:
        return self.source.partition(": ")[0]


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


def expected_bytes(tokens: int, runs_dir: Path) -> int:
    """On the disk for so many tokens: as the records below a folder take for theirs; traces are not counted."""
    size = done = 0
    for path in runs_dir.rglob("records.jsonl"):
        size += path.stat().st_size
        done += sum(session["tokens"] for session in RunFolder(path=path.parent).sessions())
    return round(tokens * (size / done if done else TOKEN_BYTES))


def benchmarked(model: str, method: str, budget: int | None, typical: float) -> Speed | None:
    """The line of the benchmark nearest in model size, then in method, budget and position.

    None: the model's name tells no size, as that of the reasoner.
    """
    if not SIZE.search(model):
        return None
    with files("kvarena.analysis").joinpath("benchmarks", BENCHMARK).open() as file:
        lines = list(csv.DictReader(file))
    line = min(lines, key=lambda line: distance(line, model, method, budget, typical / 2))
    what = f"{line['model']} {line['method']}, batch {line['batch']}, position {int(line['position']):,}"
    return Speed(float(line["tokens_per_s"]), f"{line['device']}: {what} of {BENCHMARK}")


def distance(line: Mapping[str, str], model: str, method: str, budget: int | None, position: float) -> tuple:
    """How unlike a run a line of the benchmark is; what comes first weighs most."""
    tokens = float(line["tokens"] or "inf")
    return (
        abs(math.log(size(model) / size(line["model"]))),
        (line["method"] == DENSE) != (method == DENSE),
        line["method"] != method,
        abs(math.log(tokens / budget)) if budget and tokens < math.inf else 0.0,
        abs(float(line["position"]) - position),
    )


def size(model: str) -> float:
    found = SIZE.search(model)
    return float(found[1].replace("_", ".")) if found else math.nan


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
        labels = Labels.read(run, folder.run_file)
        if labels.model != model:
            continue
        for line in folder.sessions():
            device, workers = line.get("device", run["device"]), line.get("num_workers", 1)
            yield Session(line["started"], labels.method, device, line["tokens"], line["wall_s"] * workers)
