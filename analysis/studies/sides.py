"""The two measurements that proxy.py holds against one another, of the same cells: a method at a ratio.

Either is of one task, difficulty and model, of finished runs, and has one run a cell.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, cast

import numpy as np
import pandas as pd

from .. import fidelity
from ..load import Run

# over orders of magnitude: a cell is the mean of the logs of its problems
LOGS = ("kl", "kl_worst", "kl_end", "kl_answer")
SIGNS = {"mass": 1, "same": 1}  # of the others more is worse
CELL = ["method", "ratio"]


class Side(NamedTuple):
    """One measurement of all cells."""

    cells: pd.MultiIndex  # method and ratio
    values: np.ndarray  # [cells, problems], NaN where a problem is missing


def drift(texts: pd.DataFrame, summary: str) -> Side:
    """A problem is the mean over its draws."""
    table = texts.groupby([*CELL, "sample"])[summary].mean().rename("value").reset_index()
    if summary in LOGS:
        table["value"] = np.log(table["value"].clip(lower=fidelity.FLOOR))
    return side(table.assign(value=table["value"] * SIGNS.get(summary, -1)))


def accuracy(runs: Iterable[Run], only: Collection[str] | None = None) -> Side:
    """Of these problems; None: of all."""
    rows = [
        {"method": run.labels.named, "ratio": run.labels.ratio, "sample": problem[0], "value": value}
        for run in runs
        for problem, value in run.scores.items()
        if only is None or problem[0] in only
    ]
    return side(pd.DataFrame(rows, columns=[*CELL, "sample", "value"]))


def side(table: pd.DataFrame) -> Side:
    wide = table.groupby([*CELL, "sample"])["value"].mean().unstack("sample")
    return Side(cast(pd.MultiIndex, wide.index), wide.to_numpy())


def shared(a: Side, b: Side) -> tuple[Side, Side]:
    """The cells that both have, in one order."""
    common = a.cells.intersection(b.cells).sort_values()
    return tuple(Side(common, one.values[one.cells.get_indexer(common)]) for one in (a, b))  # type: ignore[return-value]


def refuse_mixed(texts: pd.DataFrame, task: str) -> None:
    """ValueError for texts of which a cell would be a mean of two runs, or which have no mean KL."""
    if "kl" not in texts or texts["kl"].isna().any():
        raise ValueError(f"the texts of {task} lack kl: give tables of analysis.fidelity.drifts")
    for name in ("difficulty", "model"):
        if name in texts and len(found := texts[name].dropna().unique()) > 1:
            raise ValueError(f"the texts of {task} are of {name} {' and '.join(map(str, found))}: give one of them")
    one = [*CELL, "sample", *(["draw"] if "draw" in texts else [])]
    if (twice := texts[texts.duplicated(one)]).size:
        method, ratio, sample = twice.iloc[0][[*CELL, "sample"]]
        raise ValueError(f"the texts of {task} have {sample} of {method} at {ratio:g} twice: give one run of a cell")


def runs_beside(texts: pd.DataFrame, runs: Iterable[Run], task: str) -> Sequence[Run]:
    """The finished runs of the texts' task, and of their difficulty and model where the texts say them."""
    names = [name for name in ("difficulty", "model") if name in texts and texts[name].notna().any()]
    known = {name: texts[name].dropna().unique() for name in names}
    found: dict[tuple[str, float], Run] = {}
    for run in runs:
        if run.labels.task != task or run.labels.is_dense or not run.is_whole:
            continue
        if any(getattr(run.labels, name) not in values for name, values in known.items()):
            continue
        if (other := found.setdefault((run.labels.named, run.labels.ratio), run)) is not run:
            raise ValueError(f"{other.name} and {run.name} are of one method and ratio on {task}: give one")
    if len(settings := {run.setting for run in found.values()}) > 1:
        raise ValueError(f"RUNS_DIR has {task} as {' and '.join(map(str, sorted(settings)))}: give one of them")
    return list(found.values())
