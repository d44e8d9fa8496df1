"""R-KV: importance minus redundancy, so that near-duplicates go first.

Cai et al., 2025, arXiv 2505.24133. Two versions, because their numbers differ widely:

`RKV` is the authors' release: the last 8 queries, the largest logit of a group before the softmax, a max-pool of 7;
redundancy by column means of cosines over all resident keys, where every key is forgiven its newest near-duplicate,
and keys without one forgive the first slot, a slip that is kept. Lambda is .1 in paper and README and .07 in the code
(its class and `run_math`): `lam` is either, .1 by default. Deviations: one set of victims every `interval`
steps counted from the budget (the authors: by the total length, a step late); float32; each row by its own keys (the
authors: all rows by those of the first).

`RKVVaSE` is R-KV as VaSE's release re-implements it (mode `attn_rkv`): importance is its SnapKV score over a window of
64, redundancy the softmax of mean cosine similarity, lambda 0.5, no forgiving. Deviations from that release: float32
throughout (bfloat16 leaves about 42 levels of redundancy at 4,096 tokens), means in O(N D).

B rows, H KV heads, G query heads per KV head, N slots, W window, D head dim.
"""

from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from .neighbours import ByRank, Neighbours
from .policy import LayerView, Needs
from .scores import highest_neighbour, mean_cosine
from .snapkv import SnapKV

BLOCK = 64  # rows of the matrix of cosines at a time


@dataclass(frozen=True, kw_only=True)
class RKVVaSE(SnapKV):
    lam: float = 0.5  # weight of importance; 1 - lam that of redundancy

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.lam <= 1:
            raise ValueError(f"method.lam={self.lam}: lambda lies in 0..1")

    def redundancy(self, view: LayerView) -> Tensor:
        """[B, H, N]: sums to 1 over the candidates."""
        return torch.where(view.candidates, mean_cosine(view), -torch.inf).softmax(-1)

    def score(self, view: LayerView) -> Tensor:
        return self.lam * self.importance(view) - (1 - self.lam) * self.redundancy(view)


@dataclass(frozen=True, kw_only=True)
class RKV(RKVVaSE):
    lam: float = 0.1
    smooth: int = 7
    neighbours: Neighbours = field(default_factory=ByRank)
    window: int = 8  # newest queries
    threshold: float = 0.5  # keys of a larger cosine are near-duplicates

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.window <= self.budget.recent:
            raise ValueError(
                f"method.window={self.window}: use 1 to budget.recent={self.budget.recent}, or raise compression.recent"
            )
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"method.threshold={self.threshold}: a cosine from 0 to 1")

    @property
    def needs(self) -> Needs:
        return Needs(queries=self.window, rank=self.neighbours.rank, output=self.weight.output)

    def attention(self, view: LayerView) -> Tensor:
        keys = view.keys.float().mT
        # a group's query heads one by one: no [Hq, W, N] tensor
        logits = reduce(torch.maximum, (queries.float() * view.scale @ keys for queries in view.queries.unbind(2)))
        attention = self.aggregate.over(logits.masked_fill(~view.candidates[:, :, None], -torch.inf).softmax(-1))
        pooled = highest_neighbour(attention, view, self.neighbours.order(view), self.smooth)
        return self.aggregate.floor(pooled, view)

    def redundancy(self, view: LayerView) -> Tensor:
        """[B, H, N]: sums to 1 over the live slots, the recent ones included."""
        keys, dead, slots = view.keys.float(), ~view.live, torch.arange(view.keys.shape[2], device=view.keys.device)
        units = (keys / (keys.norm(dim=-1, keepdim=True) + 1e-8)).masked_fill(dead[..., None], 0)
        order = self.neighbours.order(view).masked_fill(dead, -1)[:, :, None]
        first = order.masked_fill(order < 0, torch.iinfo(torch.int32).max).amin(-1, keepdim=True)
        total = torch.zeros_like(units[..., 0])
        for rows, block in zip(slots.split(BLOCK), units.split(BLOCK, 2), strict=True):
            cosine = (block @ units.mT).masked_fill_(rows[:, None] == slots, 0)
            newest = order.masked_fill(cosine <= self.threshold, -1).amax(-1, keepdim=True)
            forgiven = torch.where(newest < 0, first, newest)
            total += cosine.masked_fill_(order == forgiven, 0).sum(2)
        mean = total / view.live.sum(-1, keepdim=True)
        return mean.masked_fill(dead, -torch.inf).softmax(-1)
