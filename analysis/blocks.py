"""The blocks of the main table, one for each model and budget: their cells, and which of them may be ranked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..runners.record import DENSE
from .marks import marks
from .setting import task_name

TASK = ["task", "difficulty"]
COSTS = {
    "cache MB": lambda rows: rows["resident_bytes"].astype(float).mean() / 1e6,
    "read": lambda rows: rows["tokens_read"].mean(),
    "tok/s": lambda rows: rows["tokens_per_s"].mean(),
    "tok/s, equal memory": lambda rows: rows["tokens_per_s_equal_memory"].mean(),
}


class Cell(NamedTuple):
    accuracy: float  # percent
    differs: bool = False  # the interval of the difference to dense excludes zero
    mark: str = ""  # why it is not ranked (marks.py); empty: it is


@dataclass(frozen=True, kw_only=True)
class Block:
    model: str
    budget: str
    tasks: list[str]
    methods: list[str]
    cells: dict[tuple[str, str], Cell]  # by method and task; what is missing has none
    costs: dict[str, dict[str, float]]  # by method

    def column(self, task: str) -> dict[str, float]:
        """What is ranked."""
        cells = {method: self.cells[method, task] for method in self.methods if (method, task) in self.cells}
        return {method: cell.accuracy for method, cell in cells.items() if not cell.mark}

    def means(self) -> dict[str, float]:
        """Over the tasks, of the methods that were run on all of them."""
        columns = [self.column(task) for task in self.tasks]
        complete = [method for method in self.methods if all(method in column for column in columns)]
        return {method: float(np.mean([column[method] for column in columns])) for method in complete}


def budget_blocks(results: pd.DataFrame) -> Iterator[Block]:
    for model, rows in results.groupby("model", sort=False):
        dense, compressed = rows[rows["method"] == DENSE], rows[rows["method"] != DENSE]
        tasks = list(dict.fromkeys(map(task_name, rows["task"], rows["difficulty"])))
        groups = list(compressed.groupby(budgets(compressed), sort=False)) or [("dense", compressed)]
        for budget, group in groups:
            yield budget_block(str(model), str(budget), tasks, pd.concat([dense, group]))


def budget_block(model: str, budget: str, tasks: list[str], rows: pd.DataFrame) -> Block:
    """Of several runs of one cell, such as seeds, the first counts, of those that are like the others if there are."""
    rows = rows.assign(mark=marks(rows)).sort_values("mark", kind="stable")
    rows = rows[~rows.duplicated([*TASK, "method"])].sort_index()
    records = [row for row in rows.to_dict("records") if not pd.isna(row["accuracy"])]
    cells = {
        (row["method"], task_name(row["task"], row["difficulty"])): Cell(
            100 * row["accuracy"], differs(row), row["mark"]
        )
        for row in records
    }
    methods = list(dict.fromkeys(sorted(rows["method"], key=lambda method: (method != DENSE, method))))
    costs = {m: {name: f(rows[rows["method"] == m]) for name, f in COSTS.items()} for m in methods}
    return Block(model=model, budget=budget, tasks=tasks, methods=methods, cells=cells, costs=costs)


def differs(row: dict[Any, Any]) -> bool:
    return bool(row["gain_low"] > 0 or row["gain_high"] < 0)


def budgets(rows: pd.DataFrame) -> pd.Series:
    """The name of each row's block: its ratio, or its bytes; where tokens were asked for, one, or one a number."""
    fixed = rows[rows["fixed_tokens"].astype(bool)]
    several = fixed.duplicated(["task", "difficulty", "method"]).any()
    by_tokens = rows["tokens"].map(lambda n: f"{n} tokens" if several else "tokens fixed for each task")
    others = (
        rows["ratio"].map("{:.3g}x".format).where(rows["bytes"].isna(), rows["bytes"].map("{:.3g} of the bytes".format))
    )
    return by_tokens.where(rows["fixed_tokens"].astype(bool), others)
