"""The main table, a block for each model and budget: methods down, tasks across, then what they cost.

Accuracy in percent. The best and the second best compressed method of a column are marked, and a dagger says that the
95 % interval of the difference to dense, paired by problem, excludes zero. What is unlike the rest of its column, or of
other problems, is marked and stands outside of ranks and means.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..runners.record import DENSE
from .blocks import COSTS, Block, Cell, budget_blocks
from .marks import PART, SAYS, UNLIKE

MISSING = "-"


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
    signs: dict[str, str]  # of those of marks.py
    name: Callable[[str], str]

    def mark(self, text: str, rank: int | None) -> str:
        return {1: self.best, 2: self.second}.get(rank or 0, "{}").replace("{}", text)


SPELLED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "$_%&#{}"} | SPELLED)


def escape(text: str) -> str:
    """As LaTeX prints it."""
    return text.translate(SPECIAL)


MARKDOWN = Style(best="**{}**", second="_{}_", dagger="†", signs={}, name=lambda text: text.replace("|", r"\|"))
LATEX = Style(
    best=r"\textbf{{}}",
    second=r"\underline{{}}",
    dagger=r"$^\dagger$",
    signs={UNLIKE: r"$^\ddagger$", PART: r"$^\S$"},
    name=escape,
)


def lines(block: Block, style: Style) -> list[list[str]]:
    """The header, then a line for each method."""
    columns = [block.column(task) for task in block.tasks]
    means = block.means()
    found = [["method", *block.tasks, "mean", *COSTS]]
    for method in block.methods:
        cells = [method]
        for task, column in zip(block.tasks, columns, strict=True):
            cell = block.cells.get((method, task), Cell(0.0))
            if cell.mark:
                cells.append(f"{cell.accuracy:.1f}{cell.mark.translate(str.maketrans(style.signs))}")
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
    f"{UNLIKE}: {SAYS[UNLIKE]}; {PART}: {SAYS[PART]}: neither is ranked or averaged. "
    "Cache: the largest row's, at its peak. Read: slots per KV head and step. tok/s: of one worker. Equal memory: "
    "measured on dense's device and engine, with a larger batch whose cache fits in dense's."
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
