"""The lines that kvarena-benchmark writes: one for each method, budget and position."""

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .measure import StepTime

# as they stand in a file; what they mean stands at the fields
COLUMNS = (
    *("model", "method", "engine", "attention", "batch", "tokens", "position", "steps", "middle", "staggered"),
    *("evicts", "ms_p50", "ms_p95", "ms", "tokens_per_s", "limit_ms", "mbu", "evict_share", "weight_bytes", "kv_bytes"),
    *("peak_bytes", "resident_bytes", "setup_s", "copy_gb_per_s", "gate", "gate_regret", "device", "versions"),
    *("commit", "cache"),
)


@dataclass(frozen=True, kw_only=True)
class TimingKey:
    """What tells one line from another."""

    model: str
    method: str
    engine: str
    attention: str
    batch: int | None  # None: as many rows as fit, before it is known how many
    tokens: int | None  # budget
    position: int  # of the rows when they are placed
    steps: int  # timed
    staggered: bool
    cache: str = "plain"

    def in_file(self) -> tuple[str, ...]:
        return tuple("" if value is None else str(value) for value in vars(self).values())


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One line of the CSV."""

    key: TimingKey
    step: StepTime
    middle: float  # position of the rows, mean over the timed steps
    evicts: bool
    peak_bytes: int
    resident_bytes: int  # of the cache's tensors
    setup_s: float  # compilation and capture
    gate: float | None  # share of the tokens that the eager engine chooses too; None: not asked
    gate_regret: float | None  # largest distance of a chosen logit to the eager engine's best, over their deviation
    device: str
    versions: str
    commit: str

    def columns(self) -> dict[str, Any]:
        values = vars(self) | vars(self.key) | vars(self.step)
        return {name: values[name] for name in COLUMNS}

    def append(self, path: Path) -> None:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", newline="") as file:
            table = csv.DictWriter(file, COLUMNS)
            if new:
                table.writeheader()
            table.writerow(self.columns())

    def __str__(self) -> str:
        key, step = self.key, self.step
        budget = f", {key.tokens} tokens" if key.tokens else ""
        return (
            f"{key.model} {key.method}{budget} batch {key.batch} position {key.position}: {step.ms:.2f} ms a step "
            f"(limit {step.limit_ms:.2f}, {step.mbu:.1%}), {step.tokens_per_s:.0f} tok/s, "
            f"rounds {step.evict_share:.1%}, p50 {step.ms_p50:.2f}, peak {self.peak_bytes / 1e9:.1f} GB, "
            f"set-up {self.setup_s:.0f} s, gate {self.gate} {self.gate_regret}"
        )


def keys_in_file(path: Path) -> set[tuple[str, ...]]:
    """`TimingKey.in_file` of the lines that are there."""
    if not path.exists():
        return set()
    with path.open(newline="", errors="replace") as file:
        table = csv.DictReader(file)
        if table.fieldnames != list(COLUMNS):
            missing = ", ".join(sorted(set(COLUMNS) ^ set(table.fieldnames or [])))
            raise ValueError(f"output={path} is of another version (columns {missing}): choose another file")
        return {tuple(line[field.name] for field in fields(TimingKey)) for line in table}
