"""One row a method, model, task and budget, ranked among the methods that do with no more bytes.

A method's rivals are the other methods of the task and model, each by its run of most cache bytes that holds at most a
fifth more than the row's own. Runs are compared by the interval of their difference, paired by problem, and only where
nothing but the method differs (likeness.py). A rank is a range: one more than the rivals that are better, up to all
that are not worse; ranks overlap where intervals hold zero.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .entries import Entry, entries
from .intervals import Interval
from .load import Run
from .pairs import spread
from .standings import Standing, among
from .stats import loop_rate, pass_at_1, score

COLUMNS = (
    *("task", "difficulty", "model", "method", "ratio", "tokens", "bytes"),
    *("rank_low", "rank_high", "rank_of", "better", "level", "unlike", "not_recorded"),
    *("accuracy", "accuracy_low", "accuracy_high", "loop_rate", "loop_rate_low", "loop_rate_high"),
    *("problems", "draws", "repeats", "note", "run"),
)
WHOLE = ("tokens", "bytes", "rank_low", "rank_high", "rank_of")  # or missing


def leaderboard(runs: Iterable[Run]) -> pd.DataFrame:
    """Settings by name; in each dense first, then by ratio and rank."""
    boards: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        boards[run.setting].append(run)
    rows = [row for setting in sorted(boards) for row in board_rows(list(entries(boards[setting])))]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(WHOLE, "Int64"))


def board_rows(board: Sequence[Entry]) -> list[dict[str, Any]]:
    rivals = [entry for entry in board if not entry.note]
    gaps: dict[tuple[str, str], Interval] = {}
    rows = [board_row(entry, among(entry, rivals, gaps) if entry in rivals else None) for entry in board]
    return sorted(rows, key=board_order)


def board_order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    ranks = [row[name] or len(row) for name in ("rank_low", "rank_high")]
    return row["tokens"] is not None, row["ratio"], *ranks, -np.nan_to_num(row["accuracy"]), row["method"], row["run"]


def board_row(entry: Entry, standing: Standing | None) -> dict[str, Any]:
    run, labels = entry.run, entry.run.labels
    never = labels.evicts and run.outcomes and not any(record.num_evictions for record in run.outcomes)
    return {
        **{name: getattr(labels, name) for name in ("task", "difficulty", "model", "ratio", "tokens")},
        "method": entry.method,
        "bytes": entry.num_bytes,
        **(standing or Standing()).columns(ranked=standing is not None),
        **spread("accuracy", pass_at_1(run.outcomes)),
        **spread("loop_rate", loop_rate(run.outcomes)),
        "problems": run.header["num_samples"],
        "draws": run.header["num_draws"],
        "repeats": entry.repeats,
        "note": "; ".join(filter(None, [entry.note, "never evicted" if never else "", *unsure(run)])),
        "run": run.name,
    }


def unsure(run: Run) -> list[str]:
    """What makes its accuracy stand for less than it says."""
    errors, ungraded = (
        (record.stop == "error" for record in run.outcomes),
        (score(each) is None for each in run.outcomes),
    )
    return [f"{name} {n}" for name, n in (("errors", sum(errors)), ("ungraded", sum(ungraded))) if n]
