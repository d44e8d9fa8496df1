"""Evict large: drop the tokens of largest value range first, the ablation that shows what value states carry.

VaSE, 2026, arXiv 2606.03928 (mode `evict_large_range`). Nothing but the recent slots is protected; sinks survive by
their small values, where a model has such.
"""

from dataclasses import dataclass

from torch import Tensor

from ..kernels.score import value_range
from .policy import Eviction, LayerView


@dataclass(frozen=True, kw_only=True)
class EvictLarge(Eviction):
    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        return value_range(values)[..., None]

    def score(self, view: LayerView) -> Tensor:
        return -view.constants[..., 0]
