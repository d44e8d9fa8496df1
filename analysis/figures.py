"""The figures, as SVG and PNG. Each has a function that draws it, or says why it cannot be drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..runners.record import DENSE
from .load import Run
from .panels import COLUMNS, DENSE_COLOUR, PANEL, Look, house_style, legend, panels
from .rounds import loop_onsets
from .setting import SETTING, settings
from .traces import QUANTILES, diversity, value_ranges

STEP_TIMES = ("model", "method", "batch", "position", "ms", "weight_bytes", "kv_bytes", "copy_gb_per_s")


class Nothing(ValueError):
    """There is nothing to draw; the message says why."""


def draw_all(
    runs: Sequence[Run], results: pd.DataFrame, benchmarks: pd.DataFrame, look: Look, output: Path
) -> dict[str, str]:
    """Write every figure below `output`; returns the reasons for those that are missing, by name."""
    missing = {}
    figures: dict[str, Callable[[], Figure]] = {
        "accuracy_ratio": lambda: ratio_figure(results, look, "accuracy", "pass@1"),
        "accuracy_memory": lambda: accuracy_memory_figure(results, look),
        "accuracy_bytes": lambda: accuracy_bytes_figure(results, look),
        "loops_ratio": lambda: ratio_figure(results, look, "loop_rate", "loop rate"),
        "onset_evictions": lambda: onset_figure(runs, look),
        "value_range": lambda: value_range_figure(value_ranges(runs)),
        "diversity": lambda: overlap_figure(diversity(runs), look),
        "step_time": lambda: step_time_figure(benchmarks),
    }
    output.mkdir(parents=True, exist_ok=True)
    with house_style():
        for name, draw in figures.items():
            try:
                figure = draw()
            except Nothing as reason:
                missing[name] = str(reason)
                for kind in ("svg", "png"):  # of an earlier report
                    (output / f"{name}.{kind}").unlink(missing_ok=True)
                continue
            figure.savefig(output / f"{name}.svg", metadata={"Date": None})
            figure.savefig(output / f"{name}.png")
    return missing


def ratio_figure(results: pd.DataFrame, look: Look, value: str, label: str) -> Figure:
    """Value and interval over compression ratio, dense as a line across."""
    drawn = results[results[value].notna()]
    if drawn.empty:
        raise Nothing(f"no run has a {label}")
    found = settings(drawn)
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        for dense in rows[rows["method"] == DENSE].head(1).to_dict("records"):
            axis.axhline(dense[value], color=DENSE_COLOUR, linestyle="--", linewidth=1, label=DENSE)
            axis.axhspan(dense[f"{value}_low"], dense[f"{value}_high"], color=DENSE_COLOUR, alpha=0.06, linewidth=0)
        compressed = rows[rows["method"] != DENSE]
        methods = sorted(compressed["method"].unique())
        for i, method in enumerate(methods):
            line = compressed[compressed["method"] == method].sort_values("ratio")
            places = line["ratio"] * 2 ** (0.3 * ((i + 0.5) / len(methods) - 0.5))  # side by side, so bars can be read
            spread = [line[value] - line[f"{value}_low"], line[f"{value}_high"] - line[value]]
            axis.errorbar(places, line[value], np.maximum(spread, 0), elinewidth=0.7, **look.of[method])
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
        megabytes = rows["resident_bytes"].astype(float) / 1e6
        axis.step(*front(megabytes, rows["accuracy"]), where="post", color="0.6", linewidth=1, zorder=1)
        for method, points in rows.groupby("method"):
            looks: dict[str, Any] = {"label": method} | look.of[str(method)]
            axis.plot(megabytes[points.index], points["accuracy"], linestyle="none", **looks)
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
        axis.step(*front(rows["bytes_share"], rows["accuracy"]), where="post", color="0.6", linewidth=1, zorder=1)
        for method, points in rows.sort_values("bytes_share").groupby("method"):
            looks: dict[str, Any] = {"label": method} | look.of[str(method)]
            axis.plot(points["bytes_share"], points["accuracy"], **looks)
        axis.set_xscale("log", base=2)
        axis.set(xlabel="bytes of the budget, of dense's", ylabel="pass@1", ylim=(-0.03, 1.05))
    legend(figure, axes)
    return figure


def front(cost: pd.Series, value: pd.Series) -> tuple[list[float], list[float]]:
    """Points that no other beats at the same or a lower cost, cheapest first."""
    found: tuple[list[float], list[float]] = [], []
    for x, y in sorted(zip(cost, value, strict=True), key=lambda point: (point[0], -point[1])):
        if not found[1] or y > found[1][-1]:
            found[0].append(x)
            found[1].append(y)
    return found


def onset_figure(runs: Sequence[Run], look: Look) -> Figure:
    """Each loop: the token it begins at, over the evictions before it."""
    points = pd.DataFrame(loop_onsets(runs), columns=[*SETTING, "method", "evictions", "onset"])
    if points.empty:
        raise Nothing("no completion ends in a loop")
    found = settings(points)
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        for method, loops in rows.groupby("method"):
            looks: dict[str, Any] = {"label": method} | look.of[str(method)]
            axis.plot(loops["evictions"], loops["onset"], linestyle="none", alpha=0.6, **looks)
        axis.set(xlabel="evictions before the loop", ylabel="loop onset (token)")
    legend(figure, axes)
    return figure


def value_range_figure(ranges: pd.DataFrame) -> Figure:
    """Median, quartiles and 5 to 95 % of value ranges by layer."""
    if ranges.empty:
        raise Nothing("no traces of an evicting method: run with engine.trace=K")
    models = list(ranges.groupby("model"))
    figure, axes = panels([str(model) for model, _ in models])
    low, first, middle, third, high = map(str, QUANTILES)
    for axis, (_, rows) in zip(axes, models, strict=True):
        for bottom, top, alpha, label in ((low, high, 0.15, "5 to 95 %"), (first, third, 0.35, "quartiles")):
            axis.fill_between(rows["layer"], rows[bottom], rows[top], alpha=alpha, linewidth=0, color="C0", label=label)
        axis.plot(rows["layer"], rows[middle], color="C0", marker="o", label="median")
        axis.set(xlabel="layer", ylabel="value range (max - min)", ylim=(0, None))
    legend(figure, axes)
    return figure


def overlap_figure(table: pd.DataFrame, look: Look) -> Figure:
    """Overlap of kept positions by round; solid the lowest ratio, dashed and dotted the higher ones."""
    if table.empty:
        raise Nothing("no traces of an evicting method: run with engine.trace=K")
    found = [(f"{title}\nbetween {kind}", part) for title, rows in settings(table) for kind, part in kinds(rows)]
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        for i, (ratio, group) in enumerate(rows.groupby("ratio")):
            dashes = ("-", "--", ":")[min(i, 2)]
            axis.plot([], [], linestyle=dashes, color="0.4", label=f"{ratio:.3g}x")
            for method, line in group.groupby("method"):
                axis.plot(line["round"], line["overlap"], linestyle=dashes, **look.of[str(method)])
        axis.set(xlabel="eviction", ylabel="overlap of kept positions", ylim=(-0.03, 1.03))
    legend(figure, axes)
    return figure


def kinds(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(kind), part) for kind, part in rows.groupby("between", sort=False)]


def step_time_figure(benchmarks: pd.DataFrame) -> Figure:
    """Milliseconds a step: what weights and live KV take at copy bandwidth, which is the limit, and the rest."""
    if benchmarks.empty:
        raise Nothing(
            "no benchmark.csv of decode steps in RUNS_DIR: kvarena-benchmark output=RUNS_DIR/benchmark.csv writes it"
        )
    found = list(benchmarks.groupby("model", sort=False))
    figure, axes = panels([str(model) for model, _ in found])
    figure.set_figheight(max(0.25 * max(len(rows) for _, rows in found) * -(-len(found) // COLUMNS) + 1.2, PANEL[1]))
    for axis, (_, rows) in zip(axes, found, strict=True):
        names = [f"{row['method']}, {row['batch']} x {row['position']:,}" for row in rows.to_dict("records")]
        weights, kv = (rows[name] / rows["copy_gb_per_s"] / 1e6 for name in ("weight_bytes", "kv_bytes"))
        axis.barh(names, weights, color="C0", label="weights")
        axis.barh(names, kv, left=weights, color="C2", label="live KV")
        axis.barh(names, rows["ms"] - weights - kv, left=weights + kv, color="C4", label="the rest")
        axis.invert_yaxis()
        axis.set(xlabel="ms a step, batch x position")
    legend(figure, axes)
    return figure
