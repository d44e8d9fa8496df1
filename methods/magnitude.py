"""How large a value is: VaSE's range, and the two alternatives of its release.

B rows, H KV heads, D head dim.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from ..kernels.score import value_range


@dataclass(frozen=True, kw_only=True)
class Magnitude(ABC):
    @abstractmethod
    def __call__(self, values: Tensor) -> Tensor:
        """[B, H, n] float32 of values [B, H, n, D]."""


@dataclass(frozen=True, kw_only=True)
class Range(Magnitude):
    """Largest minus smallest channel."""

    def __call__(self, values: Tensor) -> Tensor:
        return value_range(values)


@dataclass(frozen=True, kw_only=True)
class Variance(Magnitude):
    """Unbiased variance over the channels."""

    def __call__(self, values: Tensor) -> Tensor:
        return values.float().var(-1)


@dataclass(frozen=True, kw_only=True)
class Norm(Magnitude):
    """Euclidean norm."""

    def __call__(self, values: Tensor) -> Tensor:
        return values.float().norm(dim=-1)
