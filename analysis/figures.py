"""The figures, as SVG and PNG. Each has a function that draws it, or says why it cannot be drawn."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ..runners.record import write_figure
from .load import Run
from .marks import marks
from .panels import COLUMNS, PANEL, Look, Nothing, house_style, legend, panels, plot_faint
from .rounds import loop_onsets
from .setting import SETTING, settings
from .traces import QUANTILES, diversity, value_ranges
from .trade_offs import accuracy_bytes_figure, accuracy_memory_figure, ratio_figure

STEP_TIMES = ("model", "method", "batch", "position", "ms", "weight_bytes", "kv_bytes", "copy_gb_per_s")


def draw_all(
    runs: Sequence[Run], results: pd.DataFrame, benchmarks: pd.DataFrame, look: Look, output: Path
) -> dict[str, str]:
    """Write every figure below `output`; returns the reasons for those that are missing, by name."""
    missing, results = {}, results.assign(mark=marks(results))
    figures: dict[str, Callable[[], Figure]] = {
        "accuracy_ratio": lambda: ratio_figure(results, look, "accuracy", "pass@1"),
        "accuracy_memory": lambda: accuracy_memory_figure(results, look),
        "accuracy_bytes": lambda: accuracy_bytes_figure(results, look),
        "loops_ratio": lambda: ratio_figure(results, look, "loop_rate", "loop rate"),
        "onset_evictions": lambda: onset_figure(runs, results, look),
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
            write_figure(figure, output / f"{name}.svg", metadata={"Date": None})
            write_figure(figure, output / f"{name}.png")
    return missing


def onset_figure(runs: Sequence[Run], results: pd.DataFrame, look: Look) -> Figure:
    """Each loop: the token it begins at, over the evictions before it."""
    points = pd.DataFrame(loop_onsets(runs), columns=[*SETTING, "method", "run", "evictions", "onset"])
    if points.empty:
        raise Nothing("no completion ends in a loop")
    found = settings(points.merge(results[["run", "mark"]], on="run"))
    figure, axes = panels([title for title, _ in found])
    for axis, (_, rows) in zip(axes, found, strict=True):
        for method, loops in rows.groupby("method"):
            looks: dict[str, Any] = {"label": method} | look.of[str(method)]
            stand = loops[loops["mark"] == ""]
            axis.plot(stand["evictions"], stand["onset"], linestyle="none", alpha=0.6, **looks)
            plot_faint(axis, loops, "evictions", "onset", looks)
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
