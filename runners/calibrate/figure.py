"""The spectrum as a picture: the share of energy over rank, a line a layer, light first."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..record import write_figure
from .columns import SIDES
from .table import Spectrum


def draw_spectrum(path: Path, model: str, spectrum: Sequence[Spectrum]) -> None:
    """A PNG: keys and values, heads for themselves and together."""
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axes = figure.subplots(2, 2, sharey=True)
    most = max(1, max(own.layer for own in spectrum))
    for row, heads in zip(axes, ("each", "together"), strict=True):
        for axis, side in zip(row, SIDES, strict=True):
            for own in (one for one in spectrum if one.of == side):
                share = getattr(own, heads).whole
                colour = mpl.colormaps["viridis_r"](own.layer / most)
                axis.plot(range(1, len(share) + 1), share.tolist(), color=colour, linewidth=1)
            title = f"{side}, {'each head' if heads == 'each' else 'all heads of a layer'}"
            axis.set(xlabel="rank", title=title, ylim=(0, 1.02))
        row[0].set_ylabel("share of energy")
    scale = ScalarMappable(Normalize(0, most), "viridis_r")
    figure.colorbar(scale, ax=axes, label="layer")
    figure.suptitle(model)
    write_figure(figure, path, dpi=110)
