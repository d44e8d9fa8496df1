"""VaSE-AttnV: keep the tokens of largest value range, and a sample of the rest drawn by attention.

VaSE, value-aware stochastic eviction, 2026, arXiv 2606.03928 (mode `range_sink_sample_attn`). Sampling K of M without
replacement by weights p is keeping the K largest of log p + Gumbel noise; with the large set at infinity the two stages
are one. Deviations from the release: float32, and neighbours are neighbours by position, not by slot.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels import evict
from .policy import LayerView
from .scores import slot_gumbel, value_range
from .snapkv import SnapKV


@dataclass(frozen=True, kw_only=True)
class VaSEAttnV(SnapKV):
    n_large: int | None = None  # slots for large values, sinks counted; None: a quarter of the budget

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_large is not None and not 0 <= self.n_large <= self.budget.tokens - self.budget.recent:
            raise ValueError(
                f"method.n_large={self.n_large}: use 0 to {self.budget.tokens - self.budget.recent}, "
                "the budget without the recent slots"
            )

    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        return value_range(values)[..., None]

    def large(self, view: LayerView) -> Tensor:
        """[B, H, N] bool: the `n_large` candidates of largest value range; sinks first, a protected prompt left out."""
        sinks = view.candidates & (view.positions < self.budget.sinks)
        magnitude = view.constants[..., 0].masked_fill(sinks, torch.inf)
        pool = view.evictable | sinks
        n_large = self.budget.tokens // 4 if self.n_large is None else self.n_large
        # at least the excess is not large: what stays of a pool of large values alone is its largest
        others = torch.maximum(pool.sum(-1) - n_large, view.excess[:, None])
        return pool & ~evict.lowest(magnitude, view.positions, pool, others)

    def score(self, view: LayerView) -> Tensor:
        return (self.importance(view).log() + slot_gumbel(view)).masked_fill(self.large(view), torch.inf)
