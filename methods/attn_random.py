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

    @property
    def draws_slots(self) -> bool:
        return self.drawn > 0

    def place(self, view: LayerView) -> Tensor:
        """[B, H, N]: of each slot that may go, how many drew a higher number."""
        uniform = slot_uniform(view).masked_fill(~view.evictable, -torch.inf)
        return uniform.argsort(dim=-1, descending=True).argsort(dim=-1)

    @property
    def drawn(self) -> int:
        return self.budget.tokens // 4 if self.n_random is None else self.n_random

    def score(self, view: LayerView) -> Tensor:
        return torch.where(self.place(view) < self.drawn, ABOVE + slot_uniform(view), self.importance(view))

    def chance(self, view: LayerView, keep: Tensor) -> Tensor:
        """1 of what would stay by its attention, had it not been drawn: the next in line were drawn in its place."""
        place, importance, uniform = self.place(view), self.importance(view), slot_uniform(view)
        stays = keep & view.evictable
        drawn = stays.sum(-1, keepdim=True).clamp(max=self.drawn)  # protected slots may leave room for fewer
        lucky, following = place < drawn, (place == drawn) & view.evictable
        rest = stays & ~lucky
        # without the next in line, which is drawn, one more of the others stays: what it has to be above
        lowest = importance.masked_fill(~rest, torch.inf).amin(-1, keepdim=True)
        highest = importance.masked_fill(keep | ~view.evictable, -torch.inf).amax(-1, keepdim=True)
        above = torch.where((following & keep).any(-1, keepdim=True), highest, lowest)
        threshold = uniform.masked_fill(~following, 0).amax(-1, keepdim=True)
        return torch.where(lucky & stays & (importance <= above), 1 - threshold, 1)
