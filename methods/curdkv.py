"""CurDKV: keep tokens of large key and value leverage, seen through a random projection.

Sengupta et al., 2025, arXiv 2509.15038, as VaSE's release runs it (mode `cur_fixed_gauss`): one projection for the
whole generation, per row and layer, shared by keys, values and heads. Deviation from the paper: no normalisation in
blocks of 16 tokens.

B rows, H KV heads, N slots, D head dim, R rank.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import Eviction, LayerView
from .scores import projection


@dataclass(frozen=True, kw_only=True)
class CurDKVVaSE(Eviction):
    rank: int = 20

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"method.rank={self.rank}: use 1 or more")

    def projection(self, view: LayerView) -> Tensor:
        """[B, 1, D, R]"""
        return projection(view, torch.zeros_like(view.round), self.rank)

    def score(self, view: LayerView) -> Tensor:
        gauss = self.projection(view)
        leverage = (view.keys.float() @ gauss).square().sum(-1) * (view.values.float() @ gauss).square().sum(-1)
        leverage = leverage.masked_fill(~view.candidates, 0)
        return leverage / leverage.sum(-1, keepdim=True)
