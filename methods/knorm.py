"""KNorm: keep the keys of smallest norm, which attract the most attention.

Devoto, Zhao, Scardapane, Minervini, 2024, arXiv 2406.11430. Deviations: the authors compress the prompt, here it is
every `interval` decode steps; the recent slots stay; all layers evict (the authors leave some dense). Where a model
normalises its keys, as Qwen3 does, their norms differ by little and so do the scores.
"""

from dataclasses import dataclass

from torch import Tensor

from .policy import Eviction, LayerView


@dataclass(frozen=True, kw_only=True)
class KNorm(Eviction):
    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        return keys.float().norm(dim=-1, keepdim=True)

    def score(self, view: LayerView) -> Tensor:
        return -view.constants[..., 0]
