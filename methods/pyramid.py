"""PyramidKV: budgets that fall linearly from the first layer to the last, at a constant mean.

Cai et al., 2024, arXiv 2406.02069. With mean b the last layer has b // beta slots and the first 2 b minus that. While
the sequence is shorter than the first layer's budget, the pyramid is as much flatter: the first layer holds the
sequence and the last the rest of 2 b, so every round leaves b slots a layer on average.
Deviations: the pyramid is built over all slots of a head, the recent ones included, so that of few slots the last
layers hold little else: of 116 with 16 recent ones the last has 17. With `beside_recent` it is built over the rest, as
the authors have it: the last then has 5 beside the 16. A row evicts during decoding, all layers when the mean budget is
full, by its length then (the authors: the prompt's), and budgets are rounded one by one (the authors: the step is).

No layer has fewer than recent + sinks + 1 slots: a last layer that would is raised to that and the first lowered by as
much, so the mean stays. Budgets of layers l and L - 1 - l round to a sum of exactly 2 b, so the total is L b.
"""

from dataclasses import dataclass

from .allocation import Allocation


@dataclass(frozen=True, kw_only=True)
class Pyramid(Allocation):
    beta: int = 20
    beside_recent: bool = False  # true: of the slots beside the recent ones, as the authors have it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 1:
            raise ValueError(f"method.beta={self.beta}: use 1 (even layers) or more")
        if self.budget.layers is not None:
            raise ValueError(f"budget.tokens={list(self.budget.layers)}: use one number, a pyramid shares it out")
        if self.budget.share is not None:
            raise ValueError(f"budget.share={self.budget.share}: a pyramid is of a number of slots; use null")
        if self.of.uneven:
            raise ValueError(f"method.of={type(self.of).__name__}: let heads compete inside a pyramid, not around it")

    def tokens(self, layer: int, num_layers: int) -> int:
        return self._layer(layer, num_layers, self._first)

    def tokens_at(self, layer: int, num_layers: int, length: int, prompt: int = 0) -> int:
        return self._layer(layer, num_layers, min(self._first, max(length, self.budget.tokens)))

    @property
    def _first(self) -> int:
        """Slots of the first layer."""
        beside = self.budget.recent if self.beside_recent else 0
        last = beside + (self.budget.tokens - beside) // self.beta
        return 2 * self.budget.tokens - max(last, self.budget.recent + self.budget.sinks + 1)

    def _layer(self, layer: int, num_layers: int, first: int) -> int:
        """Slots of a layer on the line from so many in the first."""
        if num_layers == 1:
            return self.budget.tokens
        return round(first - 2 * (first - self.budget.tokens) * layer / (num_layers - 1))
