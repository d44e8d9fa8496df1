"""PyramidKV: budgets that fall linearly from the first layer to the last, at a constant mean.

Cai et al., 2024, arXiv 2406.02069. With mean b the last layer has b // beta slots and the first 2 b minus that.
Deviations: the pyramid is built over all slots of a head, the recent ones included (the authors: over the rest), it
does not flatten for a short prompt, and a row evicts during decoding, all layers when the mean budget is full.

No layer has fewer than recent + sinks + 1 slots: a last layer that would is raised to that and the first lowered by as
much, so the mean stays. Budgets of layers l and L - 1 - l round to a sum of exactly 2 b, so the total is L b.
"""

from dataclasses import dataclass

from .allocation import Allocation


@dataclass(frozen=True, kw_only=True)
class Pyramid(Allocation):
    beta: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 1:
            raise ValueError(f"method.beta={self.beta}: use 1 (even layers) or more")
        if self.of.uneven:
            raise ValueError(f"method.of={type(self.of).__name__}: let heads compete inside a pyramid, not around it")

    def tokens(self, layer: int, num_layers: int) -> int:
        if num_layers == 1:
            return self.budget.tokens
        last = max(self.budget.tokens // self.beta, self.budget.recent + self.budget.sinks + 1)
        first = 2 * self.budget.tokens - last
        return round(first - (first - last) * layer / (num_layers - 1))
