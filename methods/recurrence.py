"""How much a token that was used in bursts is still expected to be used: LazyEviction's two formulas.

B rows, H KV heads, N slots.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

NO_GAP = 1e-5  # beside a gap of 0, as released


@dataclass(frozen=True, kw_only=True)
class Recurrence(ABC):
    @abstractmethod
    def __call__(self, since: Tensor, gap: Tensor) -> Tensor:
        """[B, H, N] float32 of the positions since the last use and the longest gap between two; higher survives."""


@dataclass(frozen=True, kw_only=True)
class AsReleased(Recurrence):
    """One is added to the time in gaps, and the longer the gap the lower the second term."""

    def __call__(self, since: Tensor, gap: Tensor) -> Tensor:
        regular = (2 * (1 - gap).sigmoid()).masked_fill(gap == 0, 0)
        return 2 * (-1 - since / (gap + NO_GAP)).sigmoid() + regular


@dataclass(frozen=True, kw_only=True)
class AsWritten(Recurrence):
    """The paper's: the longer the gap the higher the second term."""

    def __call__(self, since: Tensor, gap: Tensor) -> Tensor:
        regular = (2 * (-1 / gap.clamp(min=1)).sigmoid()).masked_fill(gap == 0, 0)
        return 2 * (-since / (gap + NO_GAP)).sigmoid() + regular
