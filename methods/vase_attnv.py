"""VaSE-AttnV: keep the tokens of largest value range, and a sample of the rest drawn by attention.

VaSE, value-aware stochastic eviction, 2026, arXiv 2606.03928 (mode `range_sink_sample_attn`). Sampling K of M without
replacement by weights p is keeping the K largest of log p + Gumbel noise; with the large set above all draws the two
stages are one. Its ablations are settings of this class: another magnitude (`var_sink_sample_attn`,
`l2_sink_sample_attn`), no large set (`attn_sample`), no sampling (`range_attn`).

Deviations from the release: float32, and what that cannot hold counts as a weight of 0, drawn after all others;
neighbours are neighbours by position (`ByPosition`), not in the order of the last round (`ByRank`).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..kernels import evict
from .magnitude import Magnitude, Range
from .policy import LayerView
from .scores import draw, highest_victim
from .snapkv import SnapKV

ABOVE = 100.0  # log p + Gumbel noise stays below 17
FAR = 2.0**40  # a power of two, so that magnitudes keep their order to the last bit


@dataclass(frozen=True, kw_only=True)
class VaSEAttnV(SnapKV):
    n_large: int | None = None  # slots for large values, sinks counted; None: a quarter of the budget
    magnitude: Magnitude = field(default_factory=Range)
    sample: bool = True  # false: the most attended of the rest, an ablation

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_large is not None and not 0 <= self.n_large <= self.budget.tokens - self.budget.recent:
            raise ValueError(
                f"method.n_large={self.n_large}: use 0 to {self.budget.tokens - self.budget.recent}, "
                "the budget without the recent slots"
            )

    @property
    def stochastic(self) -> bool:
        return self.sample

    @property
    def num_large(self) -> int:
        return self.budget.tokens // 4 if self.n_large is None else self.n_large

    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        return self.magnitude(values)[..., None]

    def large(self, view: LayerView) -> Tensor:
        """[B, H, N] bool: the `n_large` candidates of largest value; sinks first, a protected prompt left out."""
        sinks = view.candidates & (view.positions < self.budget.sinks)
        magnitude = torch.where(sinks, torch.inf, view.constants[..., 0])
        pool = view.evictable | sinks
        # at least the excess is not large: what stays of a pool of large values alone is its largest
        others = torch.maximum(pool.sum(-1, dtype=torch.int32) - self.num_large, view.excess[:, None])
        return pool & ~evict.lowest(magnitude, view.positions, pool, others)

    @property
    def draws_slots(self) -> bool:
        return self.sample and self.num_large < self.budget.least - self.budget.recent

    def chance(self, view: LayerView, keep: Tensor) -> Tensor:
        """Of the large ones 1; of the rest that of a Gumbel above what the others leave, log p added."""
        weights, sure = self.importance(view).log(), ~view.evictable | self.large(view)
        threshold = highest_victim(draw(weights, view), view, keep)
        chance = -torch.expm1(-(weights - threshold).exp())
        return chance.masked_fill(sure | (threshold == -torch.inf), 1)

    def score(self, view: LayerView) -> Tensor:
        weights = self.importance(view).log()
        rest = draw(weights, view) if self.sample else weights
        return torch.where(self.large(view), (FAR * view.constants[..., 0]).clamp(min=ABOVE), rest)
