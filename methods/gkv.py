"""G-KV: what a token was worth at earlier rounds still counts, minus redundancy.

arXiv 2512.00504, as released (microsoft/G-KV, 345e290, gkv/model/compression/score_based.py, its score cache and
redundancy on). At a round the importance of a candidate is the mean over the last 8 queries of the largest attention
probability of a group, divided by its greatest in the head. It joins what the slot has from the rounds before, by
`gathering` and `alpha`; the result stays with the slot and, pooled if `smooth` says so, less R-KV's redundancy (divided
by its greatest too), decides. Recent tokens have no score yet; their first is that of their first round as candidates.

Deviations: a row evicts `interval` steps after its last round, counted from the budget; float32. Redundancy is R-KV's
own (the release's reference); the kernel that the release runs forgives a key one near-duplicate in each 64 columns.
The release also grows its budget by the length, adds a deviation over queries, and trains: not built.
The attention of a round is computed twice, for the score and for what is remembered.

B rows, H KV heads, N slots.
"""

from dataclasses import dataclass, field, replace
from functools import reduce

import torch
from torch import Tensor

from .gathering import Gathering, Peak
from .neighbours import ByPosition, Neighbours
from .policy import UNSEEN, LayerView, Needs
from .rkv import RKV
from .scores import highest_neighbour, query_shares, seen_by_window


@dataclass(frozen=True, kw_only=True)
class GKV(RKV):
    smooth: int = 1
    neighbours: Neighbours = field(default_factory=ByPosition)
    alpha: float = 0.8  # of the score before
    gathering: Gathering = field(default_factory=Peak)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"method.alpha={self.alpha}: use 0 (the score of the round alone) to 1")

    @property
    def needs(self) -> Needs:
        return replace(super().needs, remembered=True)

    def remember(self, view: LayerView) -> Tensor:
        """[B, H, N]: the gathered scores of the candidates, before redundancy."""
        shares = reduce(torch.maximum, query_shares(view, seen_by_window(view)))
        now = of_greatest(self.aggregate.floor(self.aggregate.over(shares), view), view)
        return self.gathering(view.remembered, now, self.alpha).masked_fill(~view.candidates, UNSEEN)

    def attention(self, view: LayerView) -> Tensor:
        return highest_neighbour(self.remember(view), view, self.neighbours.order(view), self.smooth)

    def score(self, view: LayerView) -> Tensor:
        return self.lam * self.importance(view) - (1 - self.lam) * of_greatest(self.redundancy(view), view)


def of_greatest(score: Tensor, view: LayerView) -> Tensor:
    """Scores [B, H, N] of 0 or more, as parts of the greatest candidate's."""
    greatest = score.masked_fill(~view.candidates, 0).amax(-1, keepdim=True)
    return score / greatest.clamp(min=torch.finfo(score.dtype).tiny)
