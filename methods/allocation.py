"""An allocation: another method's scores under a budget that is spread unevenly over heads or layers.

B rows, L layers, H KV heads, N slots, C constants.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from .policy import Eviction, LayerView, Needs


@dataclass(frozen=True, kw_only=True)
class Allocation(Eviction):
    """Decides as `of` does, under its own budget; a kind of allocation changes `tokens` or `keep`."""

    of: Eviction

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of.selects:
            raise ValueError(f"method.of={type(self.of).__name__} chooses what is read too: use another method")
        if self.of.needs.bias or self.of.needs.merges:
            inner, outer = type(self.of).__name__, type(self).__name__
            raise ValueError(
                f"method.of={inner} changes what stays at its rounds, which {outer} knows nothing of: "
                f"use method={inner.lower()}, around another method"
            )
        object.__setattr__(self, "of", replace(self.of, budget=self.budget))

    @property
    def needs(self) -> Needs:
        return self.of.needs

    @property
    def same_heads(self) -> bool:
        return self.of.same_heads

    @property
    def stochastic(self) -> bool:
        return self.of.stochastic

    @property
    def uneven(self) -> bool:
        return self.of.uneven

    @property
    def trained(self) -> bool:
        return self.of.trained

    def fits(self, weights: Mapping[str, str]) -> None:
        self.of.fits(weights)

    def meet(self, model: Any) -> None:
        self.of.meet(model)

    def tokens(self, layer: int, num_layers: int) -> int:
        return self.of.tokens(layer, num_layers)

    def tokens_at(self, layer: int, num_layers: int, length: int, prompt: int = 0) -> int:
        return self.of.tokens_at(layer, num_layers, length, prompt)

    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        return self.of.constants(keys, values)

    def score(self, view: LayerView) -> Tensor:
        return self.of.score(view)

    def keep(self, view: LayerView) -> Tensor:
        return self.of.keep(view)

    def remember(self, view: LayerView) -> Tensor:
        return self.of.remember(view)

    def survivor_order(self, view: LayerView, score: Tensor) -> Tensor:
        return self.of.survivor_order(view, score)
