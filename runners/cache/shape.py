"""What a cache is sized by, of a model."""

from typing import NamedTuple


class Shape(NamedTuple):
    layers: int
    heads: int
    groups: int
    dim: int
    width: int = 0  # of hidden states
