"""Where methods stand on one task: accuracy and loops, a row a method and a panel a ratio, both with their intervals.

    python -m kvarena.analysis.studies.standing RUNS_DIR OUTPUT.png

The rows are those of the runs below a folder that have no mark (analysis/marks.py), which are of one setting, the best
first by the mean over the ratios; dense's interval is a band across.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...runners.record import DENSE, write_figure
from ..load import load
from ..marks import marks
from ..panels import DENSE_COLOUR, house_style, legend
from ..setting import settings
from ..tables import results
from .command import study_command

LINE = 0.2  # inches of a row
SHOWN = {"accuracy": ("C0", "o", 0.0, "right"), "loop_rate": ("C1", "D", 0.28, "ends in a loop")}  # lower by so much


def standing_figure(table: pd.DataFrame) -> Figure:
    """ValueError where the runs are of several settings."""
    whole = table[(marks(table) == "") & table["accuracy"].notna()]
    if len(found := settings(whole)) != 1:
        raise ValueError(f"{len(found)} tasks and models: give a folder of the finished runs of one")
    dense, compressed = whole[whole["method"] == DENSE], whole[whole["method"] != DENSE]
    ratios, names = sorted(compressed["ratio"].unique()), best_first(compressed)
    figure = Figure(figsize=(2.1 * len(ratios) + 1.6, LINE * len(names) + 1.1), layout="constrained")
    axes = list(np.ravel(figure.subplots(1, len(ratios), sharey=True, squeeze=False)))
    for axis, ratio in zip(axes, ratios, strict=True):
        for line in dense.head(1).to_dict("records"):
            axis.axvspan(line["accuracy_low"], line["accuracy_high"], color=DENSE_COLOUR, alpha=0.1, linewidth=0)
            axis.axvline(line["accuracy"], color=DENSE_COLOUR, linewidth=1, linestyle="--", label=DENSE)
        draw_panel(axis, compressed[compressed["ratio"] == ratio].set_index("method"), names)
        axis.set(title=f"{ratio:.3g}x less", xlim=(-0.03, 1.03))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    legend(figure, axes)
    return figure


def best_first(compressed: pd.DataFrame) -> list[str]:
    """The best first, by the mean over the ratios."""
    return list(compressed.groupby("method")["accuracy"].mean().sort_values(ascending=False).index)


def draw_panel(axis: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    rows = rows.reindex(names)
    for column, (colour, marker, lower, label) in SHOWN.items():
        spread = [rows[column] - rows[f"{column}_low"], rows[f"{column}_high"] - rows[column]]
        look: dict[str, Any] = dict(
            color=colour, marker=marker, markersize=3.5, elinewidth=0.8, linestyle="none", label=label
        )
        axis.errorbar(rows[column], np.arange(len(names)) + lower, xerr=np.maximum(spread, 0), **look)


def main(arguments: Sequence[str] | None = None) -> None:
    runs_dir, output = map(Path, sys.argv[1:] if arguments is None else arguments)
    with house_style():
        write_figure(standing_figure(results(load(runs_dir))), output)


if __name__ == "__main__":
    sys.exit(study_command(main, __doc__))
