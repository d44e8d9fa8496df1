"""StreamingLLM: the attention sinks and the newest tokens, nothing between.

Xiao, Tian, Chen, Han, Lewis, 2023, arXiv 2309.17453. Deviations: keys keep the rotation of their true position (the
authors re-assign positions by slot), and a row evicts every `interval` steps (the authors: every step).
"""

from dataclasses import dataclass

from torch import Tensor

from .policy import Eviction, LayerView


@dataclass(frozen=True, kw_only=True)
class StreamingLLM(Eviction):
    def score(self, view: LayerView) -> Tensor:
        return view.positions.float()
