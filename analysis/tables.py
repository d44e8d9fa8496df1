"""One row a run: what it was (task, difficulty, model, method, budget), and what came of it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..runners.record import Record
from .load import Run
from .stats import pass_at_1

COLUMNS = (
    *("task", "difficulty", "model", "method", "ratio", "tokens", "samples", "draws"),
    *("accuracy", "accuracy_low", "accuracy_high", "loop_rate", "truncation_rate", "error_rate", "ungraded"),
    *("mean_length", "peak_slots", "mean_slots", "tokens_read", "evictions", "resident_bytes", "tokens_per_s"),
    *("complete", "note", "run"),
)
INTEGERS = ("tokens", "samples", "draws", "ungraded", "resident_bytes")  # may be missing, and stay whole all the same
DENSE = "full"


def results(runs: Iterable[Run]) -> pd.DataFrame:
    """All runs, dense before the compressed ones of its task, difficulty and model."""
    rows = [row(run) for run in sorted(runs, key=place)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(INTEGERS, "Int64"))


def place(run: Run) -> tuple[Any, ...]:
    labels = run.labels
    setting = labels["task"], labels["difficulty"] or "", labels["model"]
    return *setting, labels["method"] != DENSE, labels["method"], labels["ratio"], run.name


def row(run: Run) -> dict[str, Any]:
    records = run.records()
    labels = {name: run.labels[name] for name in ("task", "difficulty", "model", "method", "ratio", "tokens")}
    return {
        **labels,
        "samples": run.header["num_samples"],
        "draws": run.header["num_draws"],
        **outcome(records),
        **cost(records),
        "tokens_per_s": throughput(run.sessions()),
        "complete": len(records) == run.num_planned,
        "note": "; ".join(flags(run, records)),
        "run": run.name,
    }


def outcome(records: Sequence[Record]) -> dict[str, Any]:
    accuracy = pass_at_1(records)
    return {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "loop_rate": mean(records, lambda record: record.loop_onset is not None),
        "truncation_rate": mean(records, lambda record: record.stop == "length"),
        "error_rate": mean(records, lambda record: record.stop == "error"),
        "ungraded": sum(record.score is None for record in records),
    }


def cost(records: Sequence[Record]) -> dict[str, Any]:
    return {
        "mean_length": mean(records, lambda record: record.num_tokens),
        "peak_slots": max((record.peak_slots for record in records), default=np.nan),
        "mean_slots": mean(records, lambda record: record.mean_slots),
        "tokens_read": mean(records, lambda record: record.tokens_read),
        "evictions": mean(records, lambda record: record.num_evictions),
        "resident_bytes": max((record.resident_bytes for record in records), default=None),
    }


def mean(records: Sequence[Record], measure: Callable[[Record], float]) -> float:
    return float(np.mean([measure(record) for record in records])) if records else np.nan


def throughput(sessions: Sequence[dict[str, Any]]) -> float:
    """Tokens per second of all sessions together; NaN where none was timed."""
    seconds = sum(session["wall_s"] for session in sessions)
    return sum(session["tokens"] for session in sessions) / seconds if seconds else np.nan


def flags(run: Run, records: Sequence[Record]) -> list[str]:
    """What a reader must know before trusting the row."""
    found = []
    if run.labels["evicts"] and records and not any(record.num_evictions for record in records):
        found.append("never evicted")
    if run.labels["protects_prompt"]:
        found.append("prompt protected")
    if len(records) != run.num_planned:
        found.append(f"incomplete {len(records)}/{run.num_planned}")
    return found
