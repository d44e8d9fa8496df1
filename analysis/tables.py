"""One row a run: what it was (task, difficulty, model, method, budget), what came of it, and how far from dense."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..runners.record import Record
from .likeness import shared, unlike
from .load import Run
from .pairs import GAINS, compared, dense_runs, nearest, paired_with, spread, table_order
from .setting import SETTING
from .speed import equal_memory, speed_columns
from .stats import estimate, holm, loop_rate, pass_at_1, problem_means, score, score_unfinished

COLUMNS = (
    *("task", "difficulty", "model", "method", "ratio", "tokens", "samples", "draws"),
    *("accuracy", "accuracy_low", "accuracy_high"),
    *("accuracy_unfinished", "accuracy_unfinished_low", "accuracy_unfinished_high"),
    *("common", "unlike", "not_recorded", "gain", "gain_low", "gain_high", "gain_p", "gain_p_holm"),
    *("loop_rate", "loop_rate_low", "loop_rate_high"),
    *("loop_gain", "loop_gain_low", "loop_gain_high", "loop_gain_p", "loop_gain_p_holm"),
    *("strict_loop_rate", "truncation_rate", "error_rate", "ungraded"),
    *("seq_rep_4", "distinct_4", "zlib_ratio", "repeated_lines", "vase_loop_rate", "vase_garbage_rate"),
    *("mean_length", "peak_slots", "mean_slots", "tokens_read", "evictions", "resident_bytes"),
    *("cache", "bytes", "bytes_share"),
    *("device", "engine", "batch_size", "tokens_per_s", "tokens_per_s_equal_memory", "ms_per_step"),
    *("fixed_tokens", "complete", "note", "run", "dense"),
)
INTEGERS = ("tokens", "samples", "draws", "common", "ungraded", "resident_bytes", "batch_size")  # whole, or missing
REPETITION = ("seq_rep_4", "distinct_4", "zlib_ratio", "repeated_lines")


def results(runs: Iterable[Run]) -> pd.DataFrame:
    """All runs, dense before the compressed ones of its task, difficulty and model."""
    runs = sorted(runs, key=table_order)
    baselines = dense_runs(runs)
    table = pd.DataFrame(
        [result_row(run, nearest(run, baselines.get(run.setting, []))) for run in runs], columns=list(COLUMNS)
    )
    table = table.astype(dict.fromkeys(INTEGERS, "Int64") | dict.fromkeys(("bytes", "bytes_share"), float))
    for gain in GAINS:
        table[f"{gain}_p_holm"] = adjusted(table, f"{gain}_p")
    table["tokens_per_s_equal_memory"] = equal_memory(table)
    return table


def result_row(run: Run, dense: Run | None) -> dict[str, Any]:
    compressed = not run.labels.is_dense
    labels = {name: getattr(run.labels, name) for name in ("task", "difficulty", "model", "ratio", "tokens", "cache")}
    compression = run.config.get("compression", {})
    return {
        **labels,
        "method": run.labels.named,
        "bytes": compression.get("bytes"),  # of dense's, as asked for
        "bytes_share": run.header.get("bytes_share"),  # of dense's, that the budget comes to
        "samples": run.header["num_samples"],
        "draws": run.header["num_draws"],
        **accuracy_and_loops(run.outcomes),
        **(compared(run, dense) if compressed and dense else {"unlike": "", "not_recorded": ""}),
        **length_and_memory(run.outcomes),
        **speed_columns(run),
        "fixed_tokens": compressed and by_tokens(compression),
        "complete": run.is_whole,
        "note": "; ".join(flags(run, dense)),
        "run": run.name,
        "dense": paired_with(run, dense),
    }


def by_tokens(compression: Mapping[str, Any]) -> bool:
    """Whether the budget was asked for in tokens, not as a ratio or in bytes."""
    return "ratio" in compression and compression["ratio"] is None and compression.get("bytes") is None


def accuracy_and_loops(records: Sequence[Record]) -> dict[str, Any]:
    accuracy, looping = pass_at_1(records), loop_rate(records)
    unfinished = estimate(problem_means(records, score_unfinished))
    return {
        **spread("accuracy", accuracy),
        **spread("accuracy_unfinished", unfinished),
        **spread("loop_rate", looping),
        "strict_loop_rate": mean_over(records, lambda record: bool(record.loop_strict)),
        "truncation_rate": mean_over(records, lambda record: record.stop == "length"),
        "error_rate": mean_over(records, lambda record: record.stop == "error"),
        "ungraded": sum(score(record) is None for record in records),
        **{name: mean_over(records, lambda record, name=name: getattr(record, name)) for name in REPETITION},
        "vase_loop_rate": mean_over(records, lambda record: record.vase_class == "phrase_loop"),
        "vase_garbage_rate": mean_over(records, lambda record: record.vase_class == "garbage"),
    }


def adjusted(table: pd.DataFrame, column: str) -> pd.Series:
    """Holm's correction over the methods of one task, difficulty, model and ratio."""
    tested = table[table[column].notna()]
    groups = tested.groupby([*SETTING, "ratio"], dropna=False)[column]
    return groups.transform(lambda p: holm(p.tolist())).reindex(table.index).astype(float)


def length_and_memory(records: Sequence[Record]) -> dict[str, Any]:
    return {
        "mean_length": mean_over(records, lambda record: record.num_tokens),
        "peak_slots": max((record.peak_slots for record in records), default=np.nan),
        "mean_slots": mean_over(records, lambda record: record.mean_slots),
        "tokens_read": mean_over(records, lambda record: record.tokens_read),
        "evictions": mean_over(records, lambda record: record.num_evictions),
        "resident_bytes": max((record.resident_bytes for record in records), default=None),
    }


def mean_over(records: Sequence[Record], measure: Callable[[Record], Any]) -> float:
    return float(np.mean([measure(record) for record in records])) if records else np.nan


def cut_prompts(run: Run) -> str:
    """How many of the protected prompts did not fit in the budget, so that only their beginning was protected."""
    recent = run.header.get("config", {}).get("method", {}).get("budget", {}).get("recent")
    if recent is None:
        return ""
    cut = sum(record.prompt_tokens > run.labels.tokens - recent - 1 for record in run.outcomes)
    return f", {cut} of {len(run.outcomes)} in part" if cut else ""


def flags(run: Run, dense: Run | None) -> list[str]:
    """What a reader must know before trusting the row, and why a number is missing."""
    found, records, compressed = own_flags(run), run.outcomes, not run.labels.is_dense
    if compressed and dense is None:
        found.append("no dense run")
    if compressed and dense is not None and (differs := unlike(run, dense).differs):
        found.append(f"not paired with dense: another {', '.join(differs)}")
    elif compressed and dense is not None and records and dense.outcomes:
        ours, theirs = shared(run, dense, "looping")
        common, problems = len(ours.keys() & theirs.keys()), len(run.loops)
        if common < problems:
            found.append(f"{common} of {problems} problems in common with dense")
    return found


def own_flags(run: Run) -> list[str]:
    """Those that hang on no other run."""
    found, records = [], run.outcomes
    if run.labels.evicts and records and not any(record.num_evictions for record in records):
        found.append("never evicted")
    if run.labels.protects_prompt:
        found.append("prompt protected" + cut_prompts(run))
    if halvings := run.header.get("halvings"):
        found.append(f"out of memory: batch halved {len(halvings)} times")
    if run.header.get("batch_variant"):
        found.append("batch variant: what a row says may hang on those beside it")
    if left_out := run.header.get("left_out"):
        asks = ", ".join(f"{name}={value}" for name, value in left_out.items())
        found.append(f"left out, though the model's generation config asks it: {asks}")
    for change in run.header.get("accepted_changes", []):
        found.append(f"{change['kind']} changed after {change['records']} records")
    if len(records) != run.num_planned:
        found.append(f"incomplete {len(records)}/{run.num_planned}")
    return found
