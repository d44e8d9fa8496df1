"""Who is whose neighbour when a score is smoothed: the order in which the candidates are lined up.

B rows, H KV heads, N slots.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .policy import LayerView


@dataclass(frozen=True, kw_only=True)
class Neighbours(ABC):
    rank: ClassVar[bool]  # whether the cache must maintain the survivor order

    @abstractmethod
    def order(self, view: LayerView) -> Tensor:
        """[B, H, N] int32: candidates stand by it, the least first; no two live slots of a head are equal."""


@dataclass(frozen=True, kw_only=True)
class ByPosition(Neighbours):
    """Neighbours in the text, as far as it is left."""

    rank: ClassVar[bool] = False

    def order(self, view: LayerView) -> Tensor:
        return view.positions


@dataclass(frozen=True, kw_only=True)
class ByRank(Neighbours):
    """Neighbours in the order in which the last round left them: tokens that scored alike, as in the releases."""

    rank: ClassVar[bool] = True

    def order(self, view: LayerView) -> Tensor:
        return view.rank
