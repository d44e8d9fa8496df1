"""How the attention of a window's queries, and of a group's, becomes one number a slot.

`Max` and `Defensive` are DefensiveKV's (Feng et al., 2025, arXiv 2510.13334; FFY0/DefensiveKV, c278cd0, its score
before the values' weight): each query's shares are averaged with their neighbours', scaled to the mass that they had,
and the worst case over group and window counts, none below the mean over the slots (`Defensive`). Deviation: the
softmax is that of the method, over its own support.

B rows, H KV heads, N slots, W window.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import LayerView
from .scores import mean_softmax, query_shares, smooth


@dataclass(frozen=True, kw_only=True)
class Aggregate(ABC):
    @abstractmethod
    def __call__(self, view: LayerView, support: Tensor, order: Tensor, width: int) -> Tensor:
        """[B, H, N] float32: softmax over `support` [B, H, 1 or W, N], smoothed over `width` neighbours by `order`."""

    @abstractmethod
    def over(self, shares: Tensor) -> Tensor:
        """[B, H, N] of the window's [B, H, W, N]."""

    def floor(self, score: Tensor, view: LayerView) -> Tensor:
        """What no candidate of scores [B, H, N] falls below, applied."""
        return score


@dataclass(frozen=True, kw_only=True)
class Mean(Aggregate):
    def __call__(self, view: LayerView, support: Tensor, order: Tensor, width: int) -> Tensor:
        return smooth(mean_softmax(view, support), view, order, width)

    def over(self, shares: Tensor) -> Tensor:
        return shares.mean(2)


@dataclass(frozen=True, kw_only=True)
class Max(Aggregate):
    def __call__(self, view: LayerView, support: Tensor, order: Tensor, width: int) -> Tensor:
        most = torch.zeros_like(view.positions, dtype=torch.float32)
        for shares in query_shares(view, support):
            before = shares.masked_fill(~view.candidates[:, :, None], 0).sum(-1, keepdim=True)
            pooled = smooth(shares, view, order, width)
            after = pooled.sum(-1, keepdim=True).clamp(min=torch.finfo(pooled.dtype).tiny)
            most = torch.maximum(most, self.over(pooled / after * before))
        return self.floor(most, view)

    def over(self, shares: Tensor) -> Tensor:
        return shares.amax(2)


@dataclass(frozen=True, kw_only=True)
class Defensive(Max):
    def floor(self, score: Tensor, view: LayerView) -> Tensor:
        candidates = view.candidates
        mean = score.masked_fill(~candidates, 0).sum(-1, keepdim=True) / candidates.sum(-1, keepdim=True).clamp(min=1)
        return torch.maximum(score, mean).masked_fill(~candidates, 0)
