"""The spectrum of each layer as lines of a CSV."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
from torch import Tensor

from ..record import replace_file
from .columns import SIDES, DenseColumns
from .spectrum import Shares, energy_shares

RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # that the CSV has


class Spectrum(NamedTuple):
    """Of one layer's keys or values."""

    layer: int
    of: str
    each: Shares  # [D], a head for itself, mean over heads
    together: Shares  # [H D], the heads of the layer as one vector


def spectrum_of(columns: DenseColumns) -> list[Spectrum]:
    found = []
    for layer in range(columns.num_layers):
        for side in SIDES:
            vectors = columns.of(side, layer)
            each = Shares(*(own.mean(0) for own in energy_shares(vectors)))
            found.append(Spectrum(layer, side, each, energy_shares(vectors.transpose(0, 1).flatten(1))))
    return found


def write_spectrum(path: Path, spectrum: list[Spectrum]) -> None:
    """A line a layer, keys or values, heads and rank: the share of energy that so many directions hold."""
    lines = [
        {"layer": own.layer, "of": own.of, "heads": heads, "rank": rank, "share": whole, "centred": centred}
        for own in spectrum
        for heads, parts in (("each", own.each), ("together", own.together))
        for rank, whole, centred in at_ranks(*parts)
    ]
    replace_file(path, pd.DataFrame(lines).to_csv(index=False, float_format="%.4f"))


def at_ranks(whole: Tensor, centred: Tensor) -> list[tuple[int, float, float]]:
    return [(rank, whole[rank - 1].item(), centred[rank - 1].item()) for rank in RANKS if rank <= len(whole)]
