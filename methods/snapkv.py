"""SnapKV at decode time: keep what the newest queries attend to, smoothed over neighbours.

Li et al., 2024, arXiv 2404.14469, as VaSE's release runs it (mode `attn`, arXiv 2606.03928). Deviations from the paper:
it evicts during decoding and not at prefill; the softmax runs over the candidates alone; means replace sums over the
window; a KV head keeps one set for its whole group. Deviation from the release: neighbours are neighbours by position
(`ByPosition`); `ByRank` lines them up as the release does, in the order in which the last round left them.
"""

from dataclasses import dataclass, field

from torch import Tensor

from .aggregate import Aggregate, Mean
from .neighbours import ByPosition, Neighbours
from .policy import Eviction, LayerView, Needs
from .weight import Unweighted, Weight


@dataclass(frozen=True, kw_only=True)
class SnapKV(Eviction):
    smooth: int = 5  # width of the pool over neighbours, odd; 1: none
    neighbours: Neighbours = field(default_factory=ByPosition)
    aggregate: Aggregate = field(default_factory=Mean)
    weight: Weight = field(default_factory=Unweighted)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise ValueError(f"method.smooth={self.smooth}: use an odd width, 1 for no smoothing")

    @property
    def needs(self) -> Needs:
        rank = self.neighbours.rank and self.smooth > 1
        return Needs(queries=self.budget.recent, rank=rank, output=self.weight.output)

    def attention(self, view: LayerView) -> Tensor:
        """[B, H, N]: smoothed attention of the window and the group, their mean unless `aggregate` says otherwise."""
        return self.aggregate(view, view.candidates[:, :, None], self.neighbours.order(view), self.smooth)

    def importance(self, view: LayerView) -> Tensor:
        """[B, H, N]: attention, and what `weight` makes of it."""
        return self.weight(self.attention(view), view)

    def score(self, view: LayerView) -> Tensor:
        return self.importance(view)
