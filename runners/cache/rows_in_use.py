"""The rows that a step has: all of a cache, or the first ones where the others are idle.

R rows in use.
"""

from dataclasses import dataclass

from torch import Tensor

from ...kernels.noise import Noise
from .layer import Layer


@dataclass(frozen=True, kw_only=True)
class RowsInUse:
    """Views: what a step writes here the cache has."""

    layers: list[Layer]
    positions: Tensor  # [R] int64, of the next token
    active: Tensor  # [R] int32, 1: the row grows
    noise: Noise
    read: Tensor  # [R] int64, slots that a selection has read
    errors: Tensor  # [R, longest] float32, by position: estimates of a step's; no columns unless needed

    @property
    def count(self) -> int:
        return len(self.positions)
