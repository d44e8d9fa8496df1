"""What a learned eraser is shown: a marked text at a cut, and what the tokens behind it would be without the span.

Two kinds of what follows. `follows` is the text itself. `neighbours` is what stood on both sides of the span, said once
more: a model that never had it goes on from the one to the other, and one that remembers goes on into the span.

T tokens behind the cut, V tokens of the vocabulary.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..model import Model, output_projection
from .remembered import Remembered
from .spans import MarkedText
from .steer import Steer

BEFORE, BEHIND = 8, 24  # tokens of a span's neighbours that are said once more


class Lesson(NamedTuple):
    span: tuple[int, int]
    erased: Sequence[int]  # the span's tokens
    cut: int
    follows: Sequence[int]  # [T]
    memory: Remembered  # of dense up to the cut
    never: Tensor  # [T, V]: log-probabilities of a text that never had the span, a hole in its positions

    @classmethod
    @torch.no_grad()
    def of(cls, model: Model, text: MarkedText, cut: int, tokens: int) -> "Lesson":
        """With so many tokens of the text behind the cut, if it goes on as long."""
        (start, end), said = text.span, text.tokens[: cut + tokens + 1]
        before = Remembered()
        before.read(model, said[:start], 0)
        memory, never = before.part(0), before.part(0)
        memory.read(model, said[start:cut], start)
        states = never.read(model, said[end:-1], end)[cut - end :]
        return cls(text.span, said[start:end], cut, said[cut:-1], memory, log_probabilities(model, states))

    def steered(self, model: Model, steer: Steer) -> Remembered:
        start, end = self.span
        before = self.memory.part(0, start)
        return before.beside(steer.states(model, before, self.erased, start)).beside(self.memory.part(end))

    def dropped(self) -> Remembered:
        start, end = self.span
        return self.memory.part(0, start).beside(self.memory.part(end))

    def divergence(self, model: Model, memory: Remembered) -> Tensor:
        """[T] nats: KL of what follows from a memory to what would follow without the span, KL(p || w)."""
        said = log_probabilities(model, memory.part(0).follow(model, self.follows, self.cut))
        return (said.exp() * (said - self.never)).sum(-1)


def log_probabilities(model: Model, states: Tensor) -> Tensor:
    return output_projection(model)(states).float().log_softmax(-1)


def neighbours(text: MarkedText, cut: int) -> MarkedText:
    """Up to the cut as it is, then both neighbours of the span, as if nothing had been between them."""
    (start, end), tokens = text.span, text.tokens
    said = [*tokens[max(start - BEFORE, 0) : start], *tokens[end : end + BEHIND]]
    return text._replace(tokens=[*tokens[:cut], *said])
