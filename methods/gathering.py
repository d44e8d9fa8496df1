"""How a score of this round joins the one that a slot has from the rounds before: G-KV's three ways.

B rows, H KV heads, N slots.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Gathering(ABC):
    @abstractmethod
    def __call__(self, before: Tensor, now: Tensor, alpha: float) -> Tensor:
        """[B, H, N] of scores [B, H, N], none below 0 but what was UNSEEN before: there it is that of now."""


@dataclass(frozen=True, kw_only=True)
class Peak(Gathering):
    """The greater of the score now and `alpha` times the one before."""

    def __call__(self, before: Tensor, now: Tensor, alpha: float) -> Tensor:
        return torch.maximum(alpha * before, now)


@dataclass(frozen=True, kw_only=True)
class Blend(Gathering):
    """`alpha` parts of the score before, the rest of the one now."""

    def __call__(self, before: Tensor, now: Tensor, alpha: float) -> Tensor:
        return torch.where(before < 0, now, alpha * before + (1 - alpha) * now)


@dataclass(frozen=True, kw_only=True)
class Total(Gathering):
    """Their sum, in which the one before counts `alpha` times."""

    def __call__(self, before: Tensor, now: Tensor, alpha: float) -> Tensor:
        return alpha * before.clamp(min=0) + now
