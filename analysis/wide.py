"""The main table, a block for each model and budget: methods down, tasks across, then what they cost.

Accuracy in percent. The best and the second best compressed method of a column are marked, and a dagger says that the
95 % interval of the difference to dense, paired by problem, excludes zero.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..runners.record import DENSE
from .setting import task_name

MISSING = "-"
COSTS = {
    "cache MB": lambda rows: rows["resident_bytes"].astype(float).mean() / 1e6,
    "read": lambda rows: rows["tokens_read"].mean(),
    "tok/s": lambda rows: rows["tokens_per_s"].mean(),
    "tok/s, equal memory": lambda rows: rows["tokens_per_s_equal_memory"].mean(),
}


class Cell(NamedTuple):
    accuracy: float  # percent
    differs: bool = False  # the interval of the difference to dense excludes zero
    unlike: bool = False  # more than the method is not as in dense: not paired, nor ranked


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
        return {method: cell.accuracy for method, cell in cells.items() if not cell.unlike}

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
    """Of several runs of one cell, such as seeds, the first complete one counts."""
    rows = rows.sort_values("complete", ascending=False, kind="stable")
    rows = rows[~rows.duplicated(["task", "difficulty", "method"])].sort_index()
    records = [row for row in rows.to_dict("records") if not pd.isna(row["accuracy"])]
    cells = {
        (row["method"], task_name(row["task"], row["difficulty"])): Cell(
            100 * row["accuracy"], differs(row), bool(row["unlike"])
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


def ranks(column: dict[str, float]) -> dict[str, int]:
    """1 for the best compressed methods, 2 for the next; neither dense nor nothing right is ranked."""
    values = sorted({value for method, value in column.items() if method != DENSE and value > 0}, reverse=True)
    return {m: values.index(v) + 1 for m, v in column.items() if m != DENSE and v in values[:2]}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one format marks a number."""

    best: str
    second: str
    dagger: str
    unlike: str
    name: Callable[[str], str]

    def mark(self, text: str, rank: int | None) -> str:
        return {1: self.best, 2: self.second}.get(rank or 0, "{}").replace("{}", text)


SPELLED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "$_%&#{}"} | SPELLED)


def escape(text: str) -> str:
    """As LaTeX prints it."""
    return text.translate(SPECIAL)


MARKDOWN = Style(best="**{}**", second="_{}_", dagger="†", unlike="‡", name=lambda text: text.replace("|", r"\|"))
LATEX = Style(best=r"\textbf{{}}", second=r"\underline{{}}", dagger=r"$^\dagger$", unlike=r"$^\ddagger$", name=escape)


def lines(block: Block, style: Style) -> list[list[str]]:
    """The header, then a line for each method."""
    columns = [block.column(task) for task in block.tasks]
    means = block.means()
    found = [["method", *block.tasks, "mean", *COSTS]]
    for method in block.methods:
        cells = [method]
        for task, column in zip(block.tasks, columns, strict=True):
            cell = block.cells.get((method, task), Cell(0.0))
            if cell.unlike:
                cells.append(f"{cell.accuracy:.1f}{style.unlike}")
            else:
                cells.append(number(column, method, style) + (style.dagger if cell.differs else ""))
        cells += [number(means, method, style), *(short_cost(value) for value in block.costs[method].values())]
        found.append(cells)
    return [[style.name(text) if i == 0 or row is found[0] else text for i, text in enumerate(row)] for row in found]


def number(column: dict[str, float], method: str, style: Style) -> str:
    if method not in column:
        return MISSING
    return style.mark(f"{column[method]:.1f}", ranks(column).get(method))


def short_cost(value: float) -> str:
    return MISSING if np.isnan(value) else f"{value:.4g}" if value < 1000 else f"{value:,.0f}"


LEGEND = (
    "Accuracy in percent. Bold: best compressed method of the block; italic (LaTeX: underlined): second. "
    "†: the 95 % interval of the difference to dense, paired by problem, excludes zero. "
    "‡: more than the method is unlike dense (its note says what): not paired, ranked or averaged. "
    "Cache: the largest row's, at its peak. Read: slots per KV head and step. Equal memory: measured with a larger "
    "batch whose cache fits in dense's."
)


def wide_markdown(results: pd.DataFrame) -> str:
    parts = []
    for block in budget_blocks(results):
        header, *body = lines(block, MARKDOWN)
        rule = [":--", *["--:"] * (len(header) - 1)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in [header, rule, *body])
        parts.append(f"## {block.model}, {block.budget}\n\n{table}")
    return "\n\n".join([*parts, LEGEND]) + "\n"


def wide_latex(results: pd.DataFrame) -> str:
    """A booktabs table for each block."""
    parts = []
    for block in budget_blocks(results):
        header, *body = [" & ".join(line) + r" \\" for line in lines(block, LATEX)]
        if block.methods[:1] == [DENSE] and len(body) > 1:
            body.insert(1, r"\midrule")
        parts.append(
            "\n".join(
                [
                    "% " + " ".join(f"{block.model}, {block.budget}".split()),
                    rf"\begin{{tabular}}{{l{'r' * (len(block.tasks) + 1 + len(COSTS))}}}",
                    r"\toprule",
                    header,
                    r"\midrule",
                    *body,
                    r"\bottomrule",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"
