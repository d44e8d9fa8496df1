"""What the figures have in common: their style, a look for each method, panels, and one legend below them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..runners.record import DENSE

DENSE_COLOUR = "black"
MARKERS = {"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down"}  # as plotly has them
MARKERS |= {"P": "cross", "X": "x", "<": "triangle-left"}
ROUND = 5  # of them go round with the eight colours
COLUMNS = 3
PANEL = (3.1, 2.5)  # inches
FAINT = 0.3  # how opaque is what does not stand beside the others
ENTRIES = 0.21  # inches of a line of the legend; a figure has room for two from the start


class Nothing(ValueError):
    """There is nothing to draw; the message says why."""


@contextmanager
def house_style() -> Iterator[None]:
    with as_file(files("kvarena.analysis") / "kvarena.mplstyle") as path, style.context(path):
        yield


class Look:
    """A colour and a marker of each method, the same in every figure of a report and on its page.

    Eight colours and five markers go round together, so forty methods differ; hollow where both come again. Of up to
    eight methods in up to eight caches (`snapkv + fp8`) a colour is a method and a marker a cache.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        colours, names = mpl.rcParams["axes.prop_cycle"].by_key()["color"], sorted(set(methods) - {DENSE})
        self.of: dict[str, dict[str, Any]] = {DENSE: {"color": DENSE_COLOUR, "marker": "*"}}
        for name, (number, marker, hollow) in zip(names, looks_of(names, len(colours)), strict=True):
            colour = colours[number]
            self.of[name] = {
                "color": colour,
                "markerfacecolor": "white" if hollow else colour,
                "marker": list(MARKERS)[marker],
                "label": name,
            }

    def page(self) -> dict[str, dict[str, Any]]:
        """The same for the page's own charts and chips, but for dense, which has the colour of its ink."""
        return {
            method: {
                "colour": look["color"],
                "symbol": MARKERS[look["marker"]] + ("-open" if look["markerfacecolor"] == "white" else ""),
            }
            for method, look in self.of.items()
            if method != DENSE
        }


def looks_of(names: Sequence[str], num_colours: int) -> list[tuple[int, int, bool]]:
    """Which colour and marker each has, and whether it is hollow."""
    pairs = [name.partition(" + ")[::2] for name in names]
    methods, caches = (sorted(set(parts)) for parts in zip(*pairs, strict=True)) if pairs else ((), ())
    if 1 < len(caches) <= len(MARKERS) and len(methods) <= num_colours:
        return [(methods.index(method), caches.index(cache), False) for method, cache in pairs]
    return [(i % num_colours, i % ROUND, i // (num_colours * ROUND) % 2 == 1) for i in range(len(names))]


def panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """One panel a title, three in a row; Nothing where there is none."""
    if not titles:
        raise Nothing("there is nothing to draw: no compressed run here is finished and like the others")
    columns = min(len(titles), COLUMNS)
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows + 0.5))
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    for axis in axes[len(titles) :]:
        axis.remove()
    return figure, axes[: len(titles)]


def plot_faint(axis: Axes, rows: pd.DataFrame, x: str, y: str, look: dict[str, Any]) -> None:
    """Of a method the rows that have a mark, on no line; the legend says what that means."""
    marked = rows[rows["mark"] != ""]
    if len(marked):
        axis.plot(marked[x], marked[y], **(look | {"linestyle": "none", "alpha": FAINT, "label": "_"}))
        say_faint(axis)


def say_faint(axis: Axes) -> None:
    says = "faint: unfinished, of other problems, or unlike dense"
    axis.plot([], [], linestyle="none", marker="o", color="0.3", alpha=FAINT, label=says)


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One for all panels, below them, for which the figure grows."""
    handles = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = sorted(handles, key=lambda name: (name != DENSE, name))
    columns = max(1, min(len(names), 2 * len({axis.get_subplotspec().colspan.start for axis in axes})))
    lines = -(-len(names) // columns)
    figure.set_figheight(figure.get_figheight() + ENTRIES * max(lines - 2, 0))
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=columns)
