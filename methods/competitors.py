"""The slots of a layer that compete over its KV heads, also where a rank holds some of them: for AdaKV and its kin.

B rows, A KV heads of the layer, N slots.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels import evict
from .policy import LayerView


@dataclass(frozen=True, kw_only=True)
class Competitors:
    """Of all heads; each rank of a split model gathers the same, and decides the same."""

    score: Tensor  # [B, A, N] float32
    positions: Tensor  # [B, A, N] int32
    live: Tensor  # [B, A, N] bool
    evictable: Tensor  # [B, A, N] bool
    excess: Tensor  # [B] int32: slots to drop per head

    @classmethod
    def of(cls, score: Tensor, view: LayerView) -> "Competitors":
        parts = dict(score=score, positions=view.positions, live=view.live, evictable=view.evictable)
        return cls(excess=view.excess, **{name: view.heads.of_all(part) for name, part in parts.items()})

    def highest(self, count: Tensor) -> Tensor:
        """[B, A, N] bool: the `count` [B, 1] or [B, A] evictable slots of highest score in each head."""
        others = (self.evictable.sum(-1) - count).clamp(min=0)
        return self.evictable & ~evict.lowest(self.score, self.positions, self.evictable, others)

    def competed(self, granted: Tensor, inside: Tensor) -> Tensor:
        """[B, A, N] bool: the survivors, all heads as one: of what is not `granted` what is not `inside` goes first.

        Masks [B, A, N] of evictable slots. The heads keep as many as if each had dropped `excess`.
        """
        count, outside = self.live.shape[1] * self.excess, self.evictable & ~granted & ~inside
        first = torch.minimum(count, outside.sum((1, 2), dtype=torch.int32))
        gone = self.lowest_of_all(outside, first)
        gone |= self.lowest_of_all(self.evictable & ~granted & inside, count - first)
        return self.live & ~gone

    def lowest_of_all(self, competing: Tensor, count: Tensor) -> Tensor:
        """[B, A, N] bool: the `count` [B] of lowest score among what competes [B, A, N], all heads as one."""
        scores, positions, flat = (part.flatten(1)[:, None] for part in (self.score, self.positions, competing))
        return evict.lowest(scores, positions, flat, count).view_as(self.live)
