"""InertiaKV: drop the tokens that are attended to least, where what a query sees counts less the longer ago it was.

arXiv 2609.03515 (EMNLP 2026), reconstructed from a description of the paper; its code was not seen. At every step the
importance of a token becomes alpha times what it was plus (1 - alpha) times its true attention probability (over all
live slots) from the newest query. Here the factor 1 - alpha, which changes no order, is left out, so that one method
spans two others: alpha 1 is H2O without its own recent slots, alpha 0 is TOVA of each KV head for itself.

Deviations: one set per KV head, by the mean of its group; a row evicts every `interval` steps (the authors: every
step); the prompt's queries count as if they had been decoded one after the other; the newest `recent` slots stay. The
paper's Lazy form (a new importance every 4 steps) and its Score-Free form (of the first step alone) are not built.
"""

from dataclasses import dataclass

from torch import Tensor

from .policy import Eviction, LayerView, Needs


@dataclass(frozen=True, kw_only=True)
class InertiaKV(Eviction):
    alpha: float = 0.8  # what is left of an importance after a step

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"method.alpha={self.alpha}: use 0 (the newest query alone) to 1 (all queries alike)")

    @property
    def needs(self) -> Needs:
        return Needs(mass=True, decay=self.alpha)

    def score(self, view: LayerView) -> Tensor:
        return view.mass
