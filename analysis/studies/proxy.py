"""Is fidelity a proxy for accuracy? Rank correlation of the two over methods and ratios, with intervals.

    python -m kvarena.analysis.studies.proxy TEXTS.csv.xz RUNS_DIR

TEXTS holds a row a text of each forced run (`analysis.fidelity.drifts`), RUNS_DIR the runs that decoded freely. A cell
is a method at a ratio. For each task Spearman's correlation over all cells, and its mean over the ratios, over the
methods of each; both are positive where a method that drifts less is right more often. Intervals are percentiles over
resamples of methods, and of the problems of either side.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from ...runners.record import DENSE
from .. import fidelity
from ..load import Run, load
from ..panels import Look, house_style, legend, panels

RESAMPLES = 2000
SEED = 0
LOGS = (
    "kl",
    "kl_worst",
    "kl_end",
    "kl_answer",
)  # over orders of magnitude: a cell is the mean of the logs of its problems
SIGNS = {"mass": 1, "same": 1}  # of the others more is worse


class Side(NamedTuple):
    """One measurement of all cells."""

    cells: pd.MultiIndex  # method and ratio
    values: np.ndarray  # [cells, problems], NaN where a problem is missing


def drift(texts: pd.DataFrame, summary: str) -> Side:
    table = texts.assign(value=texts[summary] * SIGNS.get(summary, -1))
    if summary in LOGS:
        table["value"] = -np.log(texts[summary].clip(lower=fidelity.FLOOR))
    return side(table.dropna(subset="value"))


def accuracy(runs: Iterable[Run]) -> Side:
    rows = [
        {"method": run.labels.method, "ratio": run.labels.ratio, "sample": sample, "value": value}
        for run in runs
        for (sample, _), value in run.scores.items()
    ]
    return side(pd.DataFrame(rows))


def side(table: pd.DataFrame) -> Side:
    wide = table.pivot_table(index=["method", "ratio"], columns="sample", values="value", aggfunc="mean")
    return Side(cast(pd.MultiIndex, wide.index), wide.to_numpy())


def shared(a: Side, b: Side) -> tuple[Side, Side]:
    """The cells that both have, in one order."""
    common = a.cells.intersection(b.cells).sort_values()
    return tuple(Side(common, one.values[one.cells.get_indexer(common)]) for one in (a, b))  # type: ignore[return-value]


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """NaN where either does not vary."""
    ranks = [rankdata(x), rankdata(y)]
    if min(np.ptp(rank) for rank in ranks) == 0:
        return np.nan
    return float(np.corrcoef(*ranks)[0, 1])


def over_cells(x: np.ndarray, y: np.ndarray, ratios: np.ndarray) -> float:
    return spearman(x, y)


def over_methods(x: np.ndarray, y: np.ndarray, ratios: np.ndarray) -> float:
    """Mean over the ratios at which both vary."""
    each = np.array([spearman(x[ratios == ratio], y[ratios == ratio]) for ratio in np.unique(ratios)])
    return float(each[~np.isnan(each)].mean()) if not np.isnan(each).all() else np.nan


def correlation(closeness: Side, right: Side, measure: Callable[..., float]) -> tuple[float, float, float]:
    """With its 95 % interval."""
    methods, ratios = (right.cells.get_level_values(level).to_numpy() for level in ("method", "ratio"))
    places = {method: np.flatnonzero(methods == method) for method in np.unique(methods)}
    rng = np.random.default_rng(SEED)

    def resampled() -> float:
        drawn = rng.choice(list(places), len(places))
        cells = np.concatenate([places[method] for method in drawn])
        means = []
        for one in (closeness, right):
            problems = rng.integers(one.values.shape[1], size=one.values.shape[1])
            means.append(np.nanmean(one.values[cells][:, problems], 1))
        return measure(*means, ratios[cells])

    point = measure(np.nanmean(closeness.values, 1), np.nanmean(right.values, 1), ratios)
    found = [value for value in (resampled() for _ in range(RESAMPLES)) if not np.isnan(value)]
    low, high = np.quantile(found, [0.025, 0.975]) if found else (np.nan, np.nan)
    return point, float(low), float(high)


def proxy(texts: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """A row a task and summary: how well the summary orders methods as accuracy does."""
    rows = []
    for task, some in texts[texts["method"] != DENSE].groupby("task", sort=False):
        right = accuracy(run for run in runs if run.labels.task == task and not run.labels.is_dense)
        for summary in (name for name in fidelity.SUMMARIES if name in some and some[name].notna().any()):
            ours, theirs = shared(drift(some, summary), right)
            line = {"task": task, "summary": summary, "cells": len(ours.cells)}
            for name, measure in (("cells", over_cells), ("methods", over_methods)):
                point, low, high = correlation(ours, theirs, measure)
                line |= {f"rho_{name}": point, f"rho_{name}_low": low, f"rho_{name}_high": high}
            rows.append(line)
    return pd.DataFrame(rows)


def scatter(texts: pd.DataFrame, runs: Sequence[Run]) -> Figure:
    """Accuracy over KL, a point a method and ratio, a panel a task."""
    compressed, tasks = texts[texts["method"] != DENSE], list(dict.fromkeys(texts["task"]))
    with house_style():
        look = Look(compressed["method"])
        figure, axes = panels(tasks)
        for axis, task in zip(axes, tasks, strict=True):
            right = accuracy(run for run in runs if run.labels.task == task and not run.labels.is_dense)
            ours, theirs = shared(drift(compressed[compressed["task"] == task], "kl"), right)
            points = pd.DataFrame({"kl": np.exp(-np.nanmean(ours.values, 1)), "right": np.nanmean(theirs.values, 1)})
            points["method"] = ours.cells.get_level_values("method")
            for method, some in points.groupby("method"):
                axis.plot(some["kl"], some["right"], linestyle="none", **look.of[str(method)])
            axis.set(xscale="log", xlabel="typical KL to dense (nats)", ylabel="pass@1", ylim=(-0.03, 1.03))
        legend(figure, axes)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m kvarena.analysis.studies.proxy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("texts", type=Path, metavar="TEXTS.csv.xz", help="a row a text of each forced run")
    parser.add_argument("runs_dir", type=Path, metavar="RUNS_DIR", help="the runs that decoded freely")
    parser.add_argument("--output", type=Path, metavar="FILE.csv", help="write the table there")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw accuracy over KL there")
    arguments = parser.parse_args(argv)
    texts, runs = pd.read_csv(arguments.texts), fidelity.free_runs(load(arguments.runs_dir))
    if arguments.figure:
        scatter(texts, runs).savefig(arguments.figure)
    table = proxy(texts, runs).round(3)
    if arguments.output:
        table.to_csv(arguments.output, index=False)
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
