"""H2O: keep the heavy hitters, the tokens that have gathered the most attention so far.

Zhang et al., 2023, arXiv 2306.14048. The mass of a token is its true attention probability (over all live slots), mean
over the group, summed over every query since it came, the prompt's included; it moves with the token. Deviations: one
set per KV head instead of per query head, a row evicts every `interval` steps (the authors: every step), keys keep the
rotation of their true position.
"""

from dataclasses import dataclass

from torch import Tensor

from .policy import Eviction, LayerView, Needs


@dataclass(frozen=True, kw_only=True)
class H2O(Eviction):
    @property
    def needs(self) -> Needs:
        return Needs(mass=True)

    def score(self, view: LayerView) -> Tensor:
        return view.mass
