"""The lines that kvarena-benchmark writes: one for each method, budget and position."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

# what tells one line from another
KEY = ("model", "method", "engine", "attention", "batch", "tokens", "position", "steps", "staggered")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One line of the CSV."""

    model: str
    method: str
    engine: str
    attention: str
    batch: int
    tokens: int | None  # budget
    position: int  # of the rows when they are placed
    steps: int  # timed
    middle: float  # position of the rows, mean over the timed steps
    staggered: bool
    evicts: bool
    ms_p50: float  # of a step without rounds
    ms_p95: float
    ms: float  # of a step, its share of the rounds included
    tokens_per_s: float
    limit_ms: float
    mbu: float  # 0 to 1: limit_ms / ms
    evict_share: float  # 0 to 1: of the time
    weight_bytes: int  # read in a step
    kv_bytes: int  # live, read in a step
    peak_bytes: int
    setup_s: float  # compilation and capture
    copy_gb_per_s: float
    gate: float | None  # share of the tokens that the eager engine chooses too; None: not asked
    gate_regret: float | None  # largest distance of a chosen logit to the eager engine's best, over their deviation
    device: str
    versions: str
    commit: str

    def append(self, path: Path) -> None:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="") as file:
            table = csv.DictWriter(file, list(vars(self)))
            if new:
                table.writeheader()
            table.writerow(vars(self))

    def __str__(self) -> str:
        budget = f", {self.tokens} tokens" if self.tokens else ""
        return (
            f"{self.model} {self.method}{budget} batch {self.batch} position {self.position}: {self.ms:.2f} ms a step "
            f"(limit {self.limit_ms:.2f}, {self.mbu:.1%}), {self.tokens_per_s:.0f} tok/s, "
            f"rounds {self.evict_share:.1%}, p50 {self.ms_p50:.2f}, peak {self.peak_bytes / 1e9:.1f} GB, "
            f"set-up {self.setup_s:.0f} s, gate {self.gate} {self.gate_regret}"
        )


def key(line: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells a line from another, as it is written."""
    return tuple("" if line[column] is None else str(line[column]) for column in KEY)


def timed(path: Path) -> set[tuple[str, ...]]:
    """The keys of the lines that are there, as they are written."""
    if not path.exists():
        return set()
    with path.open(newline="") as file:
        table = csv.DictReader(file)
        if table.fieldnames != (columns := [field.name for field in fields(Timing)]):
            missing = ", ".join(sorted(set(columns) ^ set(table.fieldnames or [])))
            raise ValueError(f"output={path} is of another version (columns {missing}): choose another file")
        return {key(line) for line in table}
