"""Random: uniform victims, drawn anew for each row, KV head, layer and round.

With `budget.protect_prompt` it is Random Attention (mode random_pp), Wang et al., 2026, arXiv 2609.03430: content-free,
and reported level with the strongest methods, so it stands in every table as a control.
"""

from dataclasses import dataclass

from torch import Tensor

from .policy import Eviction, LayerView
from .scores import highest_victim, slot_uniform


@dataclass(frozen=True, kw_only=True)
class Random(Eviction):
    shared_heads: bool = False  # one draw for all KV heads of a layer (mode random_unified)

    @property
    def stochastic(self) -> bool:
        return True

    @property
    def draws_slots(self) -> bool:
        return True

    def chance(self, view: LayerView, keep: Tensor) -> Tensor:
        return (1 - highest_victim(self.score(view), view, keep).clamp(min=0)).masked_fill(~view.evictable, 1)

    def score(self, view: LayerView) -> Tensor:
        return slot_uniform(view, shared=self.shared_heads)
