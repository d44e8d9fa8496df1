"""What a token's attention is weighed with: nothing, or how much its value can move what leaves the layer.

`ByOutput` is CriticalKV's (Feng et al., 2025, arXiv 2502.03805), as kvpress has it (CriticalKVPress, 0603dec). The
first part of the budget, recent slots counted, goes to the most attended; the rest by attention, `epsilon` more than it
is, times the L1 norm of what the output projection makes of the value, mean over the group.

Deviations: weights are in parts of the candidates' mean, so that scores keep their scale where they are mixed (R-KV) or
compete over heads (AdaKV), and no order in a head changes; the most attended stand above the others by their attention,
not by infinity, which nothing can mix or sample by; where heads hold unlike numbers of slots, each has its own part.
DefensiveKV's release takes the most attended first up to 90 % of the attention, and divides a token's norm by its sum
over KV heads, which must hold the same tokens for that: neither is built.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, E hidden size.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..kernels import evict
from .policy import LayerView
from .settings import check_types

BLOCK = 64  # values that are projected at a time


@dataclass(frozen=True, kw_only=True)
class Weight(ABC):
    output: ClassVar[bool]  # whether it asks for the output projection

    @abstractmethod
    def __call__(self, score: Tensor, view: LayerView) -> Tensor:
        """[B, H, N] of the candidates' scores [B, H, N], none below 0; 0 for all others."""


@dataclass(frozen=True, kw_only=True)
class Unweighted(Weight):
    output: ClassVar[bool] = False

    def __call__(self, score: Tensor, view: LayerView) -> Tensor:
        return score


@dataclass(frozen=True, kw_only=True)
class ByOutput(Weight):
    output: ClassVar[bool] = True
    first: float = 0.5  # part of the budget that goes by attention alone
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        check_types("method.weight", self)
        if not 0 <= self.first <= 1:
            raise ValueError(f"method.weight.first={self.first}: a part of the budget, from 0 to 1")
        if self.epsilon < 0:
            raise ValueError(f"method.weight.epsilon={self.epsilon}: use 0 or more")

    def __call__(self, score: Tensor, view: LayerView) -> Tensor:
        candidates = view.candidates
        norm = output_norm(view).masked_fill(~candidates, 0)
        number = candidates.sum(-1, keepdim=True)
        mean = (norm.sum(-1, keepdim=True) / number.clamp(min=1)).clamp(min=torch.finfo(norm.dtype).tiny)
        weighed = ((score + self.epsilon) * norm / mean).masked_fill(~candidates, 0)
        # all of the first part stand above all others
        above = weighed.amax(-1, keepdim=True) + score
        return torch.where(self.most_attended(score, view), above, weighed)

    def most_attended(self, score: Tensor, view: LayerView) -> Tensor:
        """[B, H, N] bool: the candidates that the first part of the budget holds, beside the recent slots."""
        kept, number = view.num_live - view.excess[:, None], view.candidates.sum(-1)
        count = (self.first * kept).long() - (view.num_live - number)
        others = torch.minimum(number - count, number).clamp(min=0)
        return view.candidates & ~evict.lowest(score, view.positions, view.candidates, others)


def output_norm(view: LayerView) -> Tensor:
    """[B, H, N] float32: L1 norm of what the output projection makes of each value, mean over the group."""
    weights = view.output_weight.float().unbind(1)  # G of [H, D, E]
    blocks = []
    for values in view.values.split(BLOCK, 2):
        norms = [(values.float() @ weight).abs().sum(-1) for weight in weights]
        blocks.append(torch.stack(norms).mean(0))
    return torch.cat(blocks, -1)
