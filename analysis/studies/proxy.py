"""Is fidelity a proxy for accuracy? Rank correlation of the two over methods and ratios, with intervals.

    python -m kvarena.analysis.studies.proxy TEXTS.csv.xz [...] RUNS_DIR [--same]

TEXTS holds a row a text of each forced run (`analysis.fidelity.drifts`), RUNS_DIR the runs that decoded freely. A cell
is a method at a ratio. For each task Spearman's correlation over all cells, over the methods at one ratio, and the mean
of these; positive where a method that drifts less is right more often. Intervals are percentiles over resamples of
methods, and of the problems of either side. All summaries have the same resamples: `over_kl` is what one's correlation
has more than that of mean KL.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import rankdata

from ...runners.record import DENSE, replace_file, write_figure
from .. import fidelity
from ..load import Run, load
from ..panels import Look, house_style, legend, panels
from .command import study_command
from .sides import Side, accuracy, drift, refuse_mixed, runs_beside, shared

RESAMPLES = 2000
SEED = 0
LEAST = 4  # methods at a ratio whose order says something
MEAN = "kl"  # the summary that all are held against


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """NaN where either does not vary, or is not known."""
    ranks = [rankdata(x), rankdata(y)]
    if not min(np.ptp(rank) for rank in ranks) > 0:
        return np.nan
    return float(np.corrcoef(*ranks)[0, 1])


def correlations(closeness: Side, right: Side) -> pd.DataFrame:
    """Over cells, over methods, and at each ratio of enough methods: of all methods and problems in row 0, then of
    resamples of them."""
    methods, ratios = (right.cells.get_level_values(level).to_numpy() for level in ("method", "ratio"))
    at = [ratio for ratio in np.unique(ratios) if np.sum(ratios == ratio) >= LEAST]
    places = [np.flatnonzero(methods == method) for method in np.unique(methods)]
    rng = np.random.default_rng(SEED)

    def found(x: np.ndarray, y: np.ndarray, ratios: np.ndarray) -> dict[str | float, float]:
        each = {ratio: spearman(x[ratios == ratio], y[ratios == ratio]) for ratio in at}
        return {"cells": spearman(x, y), **each}

    def resampled() -> dict[str | float, float]:
        cells = np.concatenate([places[index] for index in rng.choice(len(places), len(places))])

        def means(one: Side) -> np.ndarray:
            problems = rng.integers(one.values.shape[1], size=one.values.shape[1])
            return np.nanmean(one.values[cells][:, problems], 1)

        return found(means(closeness), means(right), ratios[cells])

    point = found(np.nanmean(closeness.values, 1), np.nanmean(right.values, 1), ratios)
    table = pd.DataFrame([point, *(resampled() for _ in range(RESAMPLES))])
    table.insert(1, "methods", table.drop(columns="cells").mean(axis=1))  # over the ratios at which both vary
    return table


def proxy(texts: pd.DataFrame, runs: Sequence[Run], same: bool = False) -> pd.DataFrame:
    """A row a task, summary and kind of correlation: how well the summary orders methods as accuracy does, that of all
    problems that were decoded or of the `same` ones as were forced."""
    rows = []
    for name, some in texts[texts["method"] != DENSE].groupby("task", sort=False):
        task = str(name)
        refuse_mixed(some, task)
        right = accuracy(runs_beside(some, runs, task), set(some["sample"]) if same else None)
        closeness = {summary: drift(some, summary) for summary in summaries_of(some)}
        sides = {summary: shared(own, right) for summary, own in closeness.items()}
        if not len(sides[MEAN][0].cells):
            raise ValueError(f"no method was both forced and decoded at one ratio on {task}: nothing to compare")
        of_mean = correlations(*sides[MEAN])
        for summary, (ours, theirs) in sides.items():
            rho = of_mean if summary == MEAN else correlations(ours, theirs)
            of_ratio = ours.cells.get_level_values("ratio").value_counts()
            sizes = {"texts": ours.values.shape[1], "problems": theirs.values.shape[1]}
            for over in rho:
                line = {"task": task, "summary": summary, "over": over, "cells": of_ratio.get(over, len(ours.cells))}
                rows.append(line | sizes | named("rho", rho[over]) | named("over_kl", rho[over] - of_mean[over]))
    return pd.DataFrame(rows)


def summaries_of(texts: pd.DataFrame) -> list[str]:
    """Those that the texts have."""
    return [name for name in fidelity.SUMMARIES if name in texts and texts[name].notna().any()]


def named(name: str, values: pd.Series) -> dict[str, float]:
    """The first, and the 95 % interval of the others."""
    low, high = values[1:].quantile([0.025, 0.975])
    return {name: values[0], f"{name}_low": low, f"{name}_high": high}


def scatter(texts: pd.DataFrame, runs: Sequence[Run]) -> Figure:
    """Accuracy over KL, a point a method and ratio, a panel a task."""
    compressed, tasks = texts[texts["method"] != DENSE], list(dict.fromkeys(texts["task"]))
    with house_style():
        look = Look(compressed["method"])
        figure, axes = panels(tasks)
        for axis, task in zip(axes, tasks, strict=True):
            forced = compressed[compressed["task"] == task]
            ours, theirs = shared(drift(forced, MEAN), accuracy(runs_beside(forced, runs, task)))
            points = pd.DataFrame({"kl": np.exp(-np.nanmean(ours.values, 1)), "right": np.nanmean(theirs.values, 1)})
            points["method"] = ours.cells.get_level_values("method")
            for method, some in points.groupby("method"):
                axis.plot(some["kl"], some["right"], linestyle="none", **look.of[str(method)])
            axis.set(xscale="log", xlabel="typical KL to dense (nats)", ylabel="pass@1", ylim=(-0.03, 1.03))
        legend(figure, axes)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m kvarena.analysis.studies.proxy", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("texts", type=Path, nargs="+", metavar="TEXTS.csv.xz", help="a row a text of each forced run")
    parser.add_argument("runs_dir", type=Path, metavar="RUNS_DIR", help="the runs that decoded freely")
    parser.add_argument("--same", action="store_true", help="accuracy of the problems in TEXTS alone")
    parser.add_argument("--output", type=Path, metavar="FILE.csv", help="write the table there")
    parser.add_argument("--figure", type=Path, metavar="FILE.png", help="draw accuracy over KL there")
    arguments = parser.parse_args(argv)
    texts = pd.concat([pd.read_csv(path, dtype={"sample": str}) for path in arguments.texts])
    runs = fidelity.free_runs(load(arguments.runs_dir))
    if arguments.figure:
        write_figure(scatter(texts, runs), arguments.figure)
    table = proxy(texts, runs, arguments.same).round(3)
    if arguments.output:
        replace_file(arguments.output, table.to_csv(index=False))
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
