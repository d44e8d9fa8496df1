"""Attention with random slots: some slots go to uniform tokens, the rest to what the newest queries attend to.

An ablation of VaSE's release (arXiv 2606.03928, mode `attn_random`): VaSE-AttnV without the values, which tells what
the large ones are worth from what any variety is worth. Sinks are not protected there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import LayerView
from .scores import slot_uniform
from .snapkv import SnapKV

ABOVE = 2.0  # attention is a share, below 1


@dataclass(frozen=True, kw_only=True)
class AttnRandom(SnapKV):
    n_random: int | None = None  # None: a quarter of the budget

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.budget.tokens - self.budget.recent
        if self.n_random is not None and not 0 <= self.n_random <= most:
            raise ValueError(f"method.n_random={self.n_random}: use 0 to {most}, the budget without the recent slots")

    @property
    def stochastic(self) -> bool:
        return True

    def score(self, view: LayerView) -> Tensor:
        n_random = self.budget.tokens // 4 if self.n_random is None else self.n_random
        uniform = slot_uniform(view)
        place = uniform.masked_fill(~view.evictable, -torch.inf).argsort(dim=-1, descending=True).argsort(dim=-1)
        return torch.where(place < n_random, ABOVE + uniform, self.importance(view))
