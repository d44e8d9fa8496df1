"""AdaKV: the heads of a layer compete for its slots, so that a head whose scores are spread out keeps more.

Feng et al., 2024, arXiv 2407.11550. The scores of all KV heads are ranked together: every head is granted the top
`alpha` of an even share, the best of the rest win what is left. Recent and protected slots stay in every head and do
not compete. Scores must be comparable over heads (attention is; value ranges are not).

Deviations: heads are KV heads, and a row evicts during decoding. The authors' code first lets the heads compete for
all slots and then moves each head's number towards the even share, by `alpha`; to grant the share first is kvpress's
form. `ceiling` is ours.

A layer's total is exactly H * tokens. Of what competes one head wins at most H - (H - 1) alpha even shares, and it
never holds more than the sequence: that is the room a cache gives it, unless `ceiling` says less.

B rows, H KV heads, N slots.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from .allocation import Allocation
from .competitors import Competitors
from .policy import LayerView


@dataclass(frozen=True, kw_only=True)
class AdaKV(Allocation):
    alpha: float = 0.2  # part of an even share that every head is granted
    ceiling: float | None = None  # no head ends a round with more than so many times `tokens`; None: no such bound

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"method.alpha={self.alpha}: the granted part of an even share lies in 0..1")
        if self.ceiling is not None and self.ceiling < 1:
            raise ValueError(f"method.ceiling={self.ceiling}: use 1 or more times the budget, or null for no bound")
        if self.of.uneven:
            raise ValueError(f"method.of={type(self.of).__name__}: its heads compete already; use its own method.of")
        if self.of.same_heads:
            raise ValueError(f"method.of={type(self.of).__name__} has heads that hold alike: use another method")

    @property
    def uneven(self) -> bool:
        return True

    def capacity(self, layer: int, num_layers: int, longest_prompt: int) -> int | None:
        if self.ceiling is None or self.budget.interval == 0 or self.budget.share is not None:
            return None
        tokens = max(self.budget.tokens, self.tokens(layer, num_layers))  # a layer's share of a round lies between
        return max(math.floor(self.ceiling * tokens), longest_prompt) + self.budget.interval

    def keep(self, view: LayerView) -> Tensor:
        layer = Competitors.of(self.score(view), view)
        heads, total = layer.live.shape[1], layer.evictable.sum((1, 2))
        share = total // heads - view.excess  # [B] slots that a head could keep of those that may go
        inside, granted = layer.evictable, layer.highest((self.alpha * share).long()[:, None])
        if self.ceiling is not None:
            left = layer.live.sum((1, 2)).double() / heads - view.excess  # [B] mean of the heads after the round
            fixed = (layer.live & ~layer.evictable).sum(-1)
            inside = layer.highest((self.ceiling * left).long()[:, None] - fixed)
        return view.heads.own(layer.competed(granted, inside))
