"""SnapKV as published: once, after the prompt, keep what its last queries attend to.

Li et al., 2024, arXiv 2404.14469. The last queries, `recent` of them, attend causally to the whole prompt, themselves
included; the candidates' shares are averaged over queries and smoothed with an average of 5 neighbours. Nothing is
dropped during decoding (`interval` 0): the cache grows by the completion. Deviations: a KV head keeps one set by the
mean of its group (the authors: one set a query head, so G times the memory); means replace sums over queries, which
changes no order.
"""

from dataclasses import dataclass

from torch import Tensor

from .policy import LayerView
from .scores import seen_by_window
from .snapkv import SnapKV


@dataclass(frozen=True, kw_only=True)
class SnapKVOriginal(SnapKV):
    def attention(self, view: LayerView) -> Tensor:
        return self.aggregate(view, seen_by_window(view), self.neighbours.order(view), self.smooth)
