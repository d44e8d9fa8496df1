"""The figures of accuracy, or loops, over what a budget saves: its ratio, the bytes of a row, the share of dense's.

Rows of results with their marks (marks.py): what has one is faint, on no line and on no front.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..runners.record import DENSE
from .panels import DENSE_COLOUR, FAINT, Look, Nothing, legend, panels, plot_faint, say_faint
from .setting import settings


def ratio_figure(results: pd.DataFrame, look: Look, value: str, label: str) -> Figure:
    """Value and interval over compression ratio, dense as a line across."""
    drawn = results[results[value].notna()]
    if drawn.empty:
        raise Nothing(f"no run has a {label}")
    found = settings(drawn)
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        for dense in rows[rows["method"] == DENSE].sort_values("mark", kind="stable").head(1).to_dict("records"):
            faint = {"alpha": FAINT} if dense["mark"] else {}
            axis.axhline(dense[value], color=DENSE_COLOUR, linestyle="--", linewidth=1, label=DENSE, **faint)
            if faint:
                say_faint(axis)
            axis.axhspan(dense[f"{value}_low"], dense[f"{value}_high"], color=DENSE_COLOUR, alpha=0.06, linewidth=0)
        compressed = rows[rows["method"] != DENSE]
        methods = sorted(compressed["method"].unique())
        for i, method in enumerate(methods):
            beside = 2 ** (0.3 * ((i + 0.5) / len(methods) - 0.5))  # so that bars can be read
            points = compressed[compressed["method"] == method].sort_values("ratio")
            points = points.assign(place=points["ratio"] * beside)
            line = points[points["mark"] == ""]
            spread = [line[value] - line[f"{value}_low"], line[f"{value}_high"] - line[value]]
            axis.errorbar(line["place"], line[value], np.maximum(spread, 0), elinewidth=0.7, **look.of[method])
            plot_faint(axis, points, "place", value, look.of[method])
        ratio_axis(axis, compressed["ratio"])
        axis.set(xlabel="compression ratio", ylabel=label, ylim=(-0.03, 1.03))
    legend(figure, axes)
    return figure


def ratio_axis(axis: Axes, ratios: pd.Series) -> None:
    axis.set_xscale("log", base=2)
    ticks = sorted(ratios.unique())
    axis.set_xticks(ticks, [f"{ratio:.3g}x" for ratio in ticks])
    axis.minorticks_off()


def accuracy_memory_figure(results: pd.DataFrame, look: Look) -> Figure:
    """Accuracy over bytes of the largest row, with the front that nothing beats on both."""
    drawn = results[results["accuracy"].notna() & results["resident_bytes"].notna()]
    if drawn.empty:
        raise Nothing("no run has both an accuracy and its bytes")
    found = settings(drawn)
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        rows = rows.assign(megabytes=rows["resident_bytes"].astype(float) / 1e6)
        draw_accuracy(axis, rows, "megabytes", look, linestyle="none")
        axis.set(xlabel="cache of the largest row (MB)", ylabel="pass@1", ylim=(-0.03, 1.05))
    legend(figure, axes)
    return figure


def accuracy_bytes_figure(results: pd.DataFrame, look: Look) -> Figure:
    """Accuracy over the share of dense's bytes that a budget comes to, and the front of all."""
    drawn = results[results["accuracy"].notna() & results["bytes_share"].notna()]
    if drawn.empty:
        raise Nothing("no run says which share of the dense cache's bytes it had")
    found = settings(drawn)
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        draw_accuracy(axis, rows, "bytes_share", look)
        axis.set_xscale("log", base=2)
        axis.set(xlabel="bytes of the budget, of dense's", ylabel="pass@1", ylim=(-0.03, 1.05))
    legend(figure, axes)
    return figure


def draw_accuracy(axis: Axes, rows: pd.DataFrame, cost: str, look: Look, **style: Any) -> None:
    """Each method over a cost, and the front of those that stand beside one another."""
    stand = rows[rows["mark"] == ""]
    axis.step(*front(stand[cost], stand["accuracy"]), where="post", color="0.6", linewidth=1, zorder=1)
    for method, points in rows.sort_values(cost).groupby("method"):
        looks: dict[str, Any] = {"label": method} | look.of[str(method)]
        line = points[points["mark"] == ""]
        axis.plot(line[cost], line["accuracy"], **looks, **style)
        plot_faint(axis, points, cost, "accuracy", looks)


def front(cost: pd.Series, value: pd.Series) -> tuple[list[float], list[float]]:
    """Points that no other beats at the same or a lower cost, cheapest first."""
    found: tuple[list[float], list[float]] = [], []
    for x, y in sorted(zip(cost, value, strict=True), key=lambda point: (point[0], -point[1])):
        if not found[1] or y > found[1][-1]:
            found[0].append(x)
            found[1].append(y)
    return found
