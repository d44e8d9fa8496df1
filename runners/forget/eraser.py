"""What is done to a cache so that a span of it is gone: drop it, move the rest together, read tokens anew.

L layers, D head dim.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import NonNegativeInt
from torch import Tensor

from ...methods.settings import check_types
from ..job.fingerprint import changes, listed
from ..model import Model
from .remembered import Remembered


class Erased(NamedTuple):
    memory: Remembered
    next: int  # position of the token that is read next
    recomputed: int  # tokens that were read anew for it


@dataclass(frozen=True, kw_only=True)
class Eraser(ABC):
    def __post_init__(self) -> None:
        check_types("erasers", self)

    @abstractmethod
    def __call__(
        self, model: Model, memory: Remembered, tokens: Sequence[int], span: tuple[int, int], frequencies: Tensor
    ) -> Erased:
        """Of a memory of `tokens` at positions 0, 1, ...; `span` is from its first token to behind its last."""

    @property
    def origin(self) -> Mapping[str, Any]:
        """What it was made of, for the record; empty where its settings say all."""
        return {}

    def check(self, weights: Mapping[str, str]) -> None:
        """ValueError where it was made for a model of other weights than these, a hash a file."""
        for names in changes({"weights": self.origin.get("weights", {})}, {"weights": weights}).values():
            raise ValueError(
                f"erasers: {self} was trained for other weights ({listed(names)}): train one for this model, or leave "
                "it out with erasers=all"
            )


@dataclass(frozen=True, kw_only=True)
class Recompute(Eraser):
    """The span is dropped; what stands behind it stays as it was, but for what the two settings say."""

    recompute: NonNegativeInt | None = 0  # tokens behind the span that are read anew without it; null: all
    shift: bool = False  # what is behind moves up to where the span began, its keys turned; otherwise a hole stays

    def __call__(
        self, model: Model, memory: Remembered, tokens: Sequence[int], span: tuple[int, int], frequencies: Tensor
    ) -> Erased:
        start, end = span
        behind = len(tokens) - end
        count = behind if self.recompute is None else min(self.recompute, behind)
        by = end - start if self.shift else 0
        kept = memory.part(0, start)
        if count:
            kept.read(model, tokens[end : end + count], end - by)
        rest = memory.part(end + count)
        if by:
            rest = rest.turned_by(-by, frequencies)
        return Erased(kept.beside(rest), len(tokens) - by, count)


def dropped_from(memory: Remembered, span: tuple[int, int], layers: range) -> Remembered:
    """The span is dropped from these layers alone, and a hole stays."""
    start, end = span
    return memory.layers_of(memory.part(0, start).beside(memory.part(end)), layers)
