"""H2O: keep the newest tokens, and the heavy hitters, which have gathered the most attention so far.

Zhang et al., 2023, arXiv 2306.14048. The mass of a token is its true attention probability (over all live slots), mean
over the group, summed over every query since it came, the prompt's included; it moves with the token. Deviations: one
set per KV head instead of per query head, a row evicts every `interval` steps (the authors: every step), keys keep the
rotation of their true position.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import Eviction, LayerView, Needs


@dataclass(frozen=True, kw_only=True)
class H2O(Eviction):
    n_recent: int = 0  # newest slots kept whatever their mass, if more than budget.recent; the authors: half of all

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.n_recent <= self.budget.tokens:
            raise ValueError(f"method.n_recent={self.n_recent}: use 0 to {self.budget.tokens}, the whole budget")

    @property
    def needs(self) -> Needs:
        return Needs(mass=True)

    def score(self, view: LayerView) -> Tensor:
        newest = view.positions.amax(-1, keepdim=True)
        return view.mass.masked_fill(view.positions > newest - self.n_recent, torch.inf)
