"""A learned map of shared columns, one of each layer and head: x + spread (z A + gelu(z W + c) U + b), z = x / spread.

After LCGuard (arXiv 2605.22786), whose transform is not known beyond its aim. A, U and b begin at 0, so an untrained
guard changes nothing.

L layers, H KV heads, n slots, F channels of a key and a value, h hidden channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gelu


class Guard(NamedTuple):
    spread: Tensor  # [L, H, 1, F]: standard deviation of each channel; it is not learnt
    linear: Tensor  # [L, H, F, F], A
    inner: Tensor  # [L, H, F, h], W
    shift: Tensor  # [L, H, 1, h], c
    outer: Tensor  # [L, H, h, F], U
    offset: Tensor  # [L, H, 1, F], b

    @classmethod
    def untrained(cls, columns: Tensor, hidden: int, generator: torch.Generator) -> "Guard":
        """Of the spread of columns [L, H, n, F]."""
        heads, channels = columns.shape[:2], columns.shape[-1]
        inner = torch.randn(*heads, channels, hidden, generator=generator) / channels**0.5
        shapes = ((channels, channels), (1, hidden), (hidden, channels), (1, channels))
        linear, shift, outer, offset = (torch.zeros(*heads, *shape).to(columns.device) for shape in shapes)
        return cls(spread_of(columns), linear, inner.to(columns.device), shift, outer, offset)

    def __call__(self, columns: Tensor) -> Tensor:
        """[L, H, n, F] of [L, H, n, F]."""
        scaled = columns / self.spread
        curved = gelu(scaled @ self.inner + self.shift) @ self.outer
        return columns + self.spread * (scaled @ self.linear + curved + self.offset)

    @property
    def learnt(self) -> list[Tensor]:
        return list(self[1:])


def spread_of(columns: Tensor) -> Tensor:
    return columns.std(2, keepdim=True).clamp(min=1e-6)


def noisy(columns: Tensor, strength: float, spread: Tensor, generator: torch.Generator) -> Tensor:
    """What a guard has to beat: Gaussian noise of so many standard deviations on every channel."""
    return columns + strength * spread * torch.randn(columns.shape, generator=generator).to(columns.device)
