"""Methods over several tasks: their mean, and how far from one control, both with intervals.

    python -m kvarena.analysis.studies.over_tasks RUNS_DIR CONTROL OUTPUT

Writes OUTPUT.csv and OUTPUT.png of the finished runs below a folder: a row a method and ratio, and on how many tasks it
is above or below the control. Only what has all tasks of its ratio has a mean, for one over other tasks is another.

Tasks count alike, and are not a sample: an interval is over the problems within them. The halves of a mean's are the
roots of the summed squares of its parts' halves (MOVER: Zou and Donner, 2008), each as in intervals.py.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import replace_file, write_figure
from ..fidelity import free_runs
from ..likeness import shared, unlike
from ..load import Run, load
from ..pairs import spread
from ..panels import house_style, legend
from ..stats import NOTHING, Estimate, difference, loop_rate, pass_at_1
from ..tables import length_and_memory
from .command import study_command

LINE = 0.17  # inches of a row
Cell = tuple[str, float]  # a method and a ratio


def over_tasks(runs: Iterable[Run], control: str) -> pd.DataFrame:
    """Best first at each ratio, what lacks a task last and without a mean; ValueError where the control lacks one."""
    cells = finished_parts(runs)
    dense = {task: run for parts in cells.values() for task, run in parts.items() if run.labels.is_dense}
    cells = {cell: parts for cell, parts in cells.items() if not next(iter(parts.values())).labels.is_dense}
    rows = []
    for (method, ratio), parts in cells.items():
        tasks = sorted({task for (_, other), own in cells.items() if other == ratio for task in own})
        beside = cells.get((control, ratio), {})
        if missing := ", ".join(task for task in tasks if task not in beside):
            raise ValueError(f"{control} was not finished on {missing} at ratio {ratio:g}: nothing to compare with")
        whole = [parts[task] for task in tasks] if len(parts) == len(tasks) else []
        gaps = [gap(run, beside[run.labels.task]) for run in whole if method != control]
        rows.append({"method": method, "ratio": ratio, "tasks": len(parts)} | means(whole, gaps, dense))
    if not rows:
        raise ValueError("no method was finished here: nothing to compare")
    table = pd.DataFrame(rows).sort_values(["ratio", "accuracy", "method"], ascending=[True, False, True])
    return table.reset_index(drop=True)


def finished_parts(runs: Iterable[Run]) -> dict[Cell, dict[str, Run]]:
    """The finished run of each cell and task; ValueError for two of one, or of two models."""
    cells: dict[Cell, dict[str, Run]] = defaultdict(dict)
    finished = [run for run in free_runs(runs) if run.is_whole]
    for run in finished:
        parts, task = cells[run.labels.named, run.labels.ratio], run.labels.task
        if (other := parts.setdefault(task, run)) is not run:
            raise ValueError(f"{other.name} and {run.name} are of one method and ratio on {task}: give one")
    if len(models := sorted({run.labels.model for run in finished})) > 1:
        raise ValueError(f"runs of {' and '.join(models)}: give those of one model")
    return cells


def means(runs: Sequence[Run], gaps: Sequence[Estimate], dense: Mapping[str, Run]) -> dict[str, Any]:
    return {
        **spread("accuracy", mean_of([pass_at_1(run.outcomes) for run in runs])),
        **spread("gain", mean_of(gaps)),
        "above": sum(each.low > 0 for each in gaps),
        "below": sum(each.high < 0 for each in gaps),
        **spread("loop_rate", mean_of([loop_rate(run.outcomes) for run in runs])),
        "resident_share": np.mean([of_dense(run, dense) for run in runs]) if runs else np.nan,
    }


def gap(run: Run, beside: Run) -> Estimate:
    if differs := unlike(run, beside).differs:
        raise ValueError(f"{run.name} and {beside.name} differ in {', '.join(differs)}: give runs of one setting")
    return difference(*shared(run, beside, "verdicts")).estimate


def mean_of(parts: Sequence[Estimate]) -> Estimate:
    """Of independent estimates; NaN of none."""
    if not parts:
        return NOTHING
    value, low, high = np.array(parts).T
    halves = (np.sqrt(np.square(value - end).sum()) / len(parts) for end in (low, high))
    mean, (below, above) = value.mean(), halves
    return Estimate(float(mean), float(mean - below), float(mean + above))


def of_dense(run: Run, dense: Mapping[str, Run]) -> float:
    """Bytes of its largest row over those of dense's."""
    if not (other := dense.get(run.labels.task)):
        return np.nan
    ours, theirs = (length_and_memory(each.outcomes)["resident_bytes"] for each in (run, other))
    return ours / theirs


def over_tasks_figure(table: pd.DataFrame) -> Figure:
    """A panel a ratio, a row a method in the order of that ratio."""
    ranked = table[table["accuracy"].notna()]
    ratios = sorted(ranked["ratio"].unique())
    most = ranked.groupby("ratio").size().max()
    figure = Figure(figsize=(3.6 * len(ratios), LINE * most + 1.1), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, len(ratios), squeeze=False)))
    for axis, ratio in zip(axes, ratios, strict=True):
        own = ranked[ranked["ratio"] == ratio]
        for column, label, marker in (("accuracy", "pass@1", "o"), ("loop_rate", "ends in a loop", "D")):
            halves = [own[column] - own[f"{column}_low"], own[f"{column}_high"] - own[column]]
            look = dict(marker=marker, markersize=3.5, elinewidth=0.8, linestyle="none", label=label)
            axis.errorbar(own[column], np.arange(len(own)), xerr=np.maximum(halves, 0), **look)
        axis.set(title=f"{ratio:.3g}x less", xlim=(-0.03, 1.03), xlabel="mean over tasks")
        axis.set_yticks(range(len(own)), own["method"])
        axis.invert_yaxis()
    legend(figure, axes)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, control, output = sys.argv[1:] if arguments is None else arguments
    table = over_tasks(load(runs_dir), control)
    replace_file(Path(output).with_suffix(".csv"), table.to_csv(index=False, float_format="%.4f"))
    with house_style():
        write_figure(over_tasks_figure(table), Path(output).with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
