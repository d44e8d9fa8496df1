"""TOVA: drop the tokens that the newest query attends to least.

Oren, Hassid, Yarden, Adi, Schwartz, 2024, arXiv 2401.06104. The score of a token is its true attention probability
(over all live slots) from the newest query alone, mean over all query heads of the layer, so every KV head keeps the
same set. The authors evict one token a step and cut the prompt: `interval` 1 and `prefill`, which are the defaults; a
longer interval is a modification. Deviation: the newest token always stays.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .policy import Eviction, LayerView, Needs
from .scores import mean_over_heads, mean_softmax


@dataclass(frozen=True, kw_only=True)
class TOVA(Eviction):
    same_heads: ClassVar[bool] = True

    @property
    def needs(self) -> Needs:
        return Needs(queries=1)

    def score(self, view: LayerView) -> Tensor:
        return mean_over_heads(mean_softmax(view, view.live[:, :, None]), view)
