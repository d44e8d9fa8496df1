"""Slots, bits, or both: accuracy over the share of dense's bytes, of forced texts KL. A panel a method, a line a cache.

    python -m kvarena.analysis.studies.equal_bytes RUNS_DIR OUTPUT

Writes OUTPUT.csv and OUTPUT.png of the runs below a folder, which are of one setting. In each panel the method stands
between dense in the same caches, drawn hollow. What has a mark (analysis/marks.py) is faint there, and on no line.
All panels have the same scales; a KL of nothing lies below them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...runners.record import DENSE, replace_file, write_figure
from ..drift_pairs import drift_marks
from ..fidelity import FLOOR, drift_table, forced_runs
from ..load import load
from ..marks import marks
from ..panels import Look, house_style, legend, panels, plot_faint
from ..setting import SETTING
from ..tables import results
from .command import study_command

BUDGETS = ["method", "cache", "bytes_share", "tokens"]
NAMES = [*BUDGETS, "samples", "accuracy", "accuracy_low", "accuracy_high"]
NAMES += ["loop_rate", "truncation_rate", "mean_length", "peak_slots", "mark"]
DRIFT_NAMES = [*BUDGETS, "texts", "kl", "kl_typical", "kl_low", "kl_high", "same", "mark"]
ACCURACY, KL = ("accuracy", "accuracy_low", "accuracy_high"), ("kl_typical", "kl_low", "kl_high")


def equal_bytes(table: pd.DataFrame) -> pd.DataFrame:
    """Marked results of one setting, or drifts, by method, cache and bytes; ValueError where there are several."""
    if table[SETTING].drop_duplicates().shape[0] > 1:
        raise ValueError("the runs are of several tasks, difficulties or models: give a folder of one")
    method, cache = (table["method"].str.partition(" + ")[i] for i in (0, 2))
    table = table.assign(method=method, cache=cache.replace("", "plain"))
    names = NAMES if "accuracy" in table else DRIFT_NAMES
    return table.loc[table["bytes_share"].notna(), names].sort_values(["method", "cache", "bytes_share"])


def equal_bytes_figure(table: pd.DataFrame) -> Figure:
    value, low, high = ACCURACY if "accuracy" in table else KL
    dense = table[table["method"] == DENSE]
    methods = sorted(set(table["method"]) - {DENSE})
    caches = sorted(set(table["cache"]))
    looks = Look(caches)
    figure, axes = panels(methods)
    for axis, method in zip(axes, methods, strict=True):
        for cache in caches:
            look = looks.of[cache]
            point = dense[dense["cache"] == cache]
            hollow: dict[str, Any] = look | {"markerfacecolor": "white", "linestyle": "none", "label": "_"}
            stand = point[point["mark"] == ""]
            axis.plot(stand["bytes_share"], stand[value], **hollow)
            plot_faint(axis, point, "bytes_share", value, hollow)
            points = table[(table["method"] == method) & (table["cache"] == cache)]
            plot_faint(axis, points, "bytes_share", value, look)
            line = points[points["mark"] == ""]
            spread = [line[value] - line[low], line[high] - line[value]]
            axis.errorbar(line["bytes_share"], line[value], np.maximum(spread, 0), elinewidth=0.7, **look)
        axis.set_xscale("log", base=2)
        axis.set(xlabel="share of dense's bytes", xlim=(0.85 * table["bytes_share"].min(), 1.15))
        if value == "accuracy":
            axis.set(ylabel="pass@1", ylim=(-0.03, 1.05))
        else:
            axis.set(ylabel="typical KL (nats)", yscale="log", ylim=decades(table[value]))
    legend(figure, axes)
    return figure


def decades(values: pd.Series) -> tuple[float, float]:
    """Whole powers of ten, with room, around the values above the floor, which is of texts that differ in nothing."""
    powers = np.log10(values[values > 2 * FLOOR])
    return (10.0 ** np.floor(powers.min() - 0.2), 10.0 ** np.ceil(powers.max() + 0.2)) if len(powers) else (FLOOR, 1.0)


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    forced = forced_runs(runs := load(runs_dir))
    found = drift_table(forced) if forced else results(runs)
    table = equal_bytes(found.assign(mark=drift_marks(forced, found) if forced else marks(found)))
    replace_file(output.with_suffix(".csv"), table.to_csv(index=False, float_format="%.4g" if forced else "%.4f"))
    with house_style():
        write_figure(equal_bytes_figure(table), output.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
