"""What a span still does to the next tokens after it was erased: a part of what it did.

At a token of a text (the cut) the span is erased, and the rest is forced. Of every later token there are four
distributions: p of the cache after the eraser, d of dense with the span, and w, w' of a text that never had it, read
from its start, once with a hole in its positions where the span stood and once without. Influence is KL(p || w) over
KL(d || w), each summed over tokens: at 1 nothing is forgotten, at 0 all is, above 1 erasing did more than the span had.
An eraser that closes the hole is held against w' instead; what closing alone does is KL(w || w').

T tokens behind the cut, E hidden size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from ..fidelity.drift import compare_states
from ..model import Model, output_projection
from .eraser import Erased, Eraser, dropped_from
from .remembered import Remembered
from .spans import MarkedText

SINCE = (0, 16, 64, 256)  # tokens since the cut, where bins begin
Row = dict[str, object]


@dataclass(kw_only=True)
class Influence:
    """Of one marked text at one cut."""

    model: Model
    frequencies: Tensor  # [D / 2]
    text: MarkedText
    cut: int
    memory: Remembered = field(init=False)  # of dense, up to the cut
    without: dict[bool, Tensor] = field(init=False)  # [T, E], by whether the hole is closed
    dense: list[float] = field(init=False)  # [T] KL(d || w)
    closing: list[float] = field(init=False)  # [T] KL(w || w')

    def __post_init__(self) -> None:
        (start, end), tokens = self.text.span, self.text.tokens
        self.memory = Remembered()
        self.memory.read(self.model, tokens[: self.cut], 0)
        self.without = {}
        for closed, place in ((False, end), (True, start)):
            never = Remembered()
            if start:
                never.read(self.model, tokens[:start], 0)
            self.without[closed] = never.read(self.model, tokens[end:-1], place)[self.cut - end :]
        self.dense = self.apart(self.after(self.memory.part(0), self.cut))
        self.closing = self.apart(self.without[False], closed=True)

    def after(self, memory: Remembered, place: int) -> Tensor:
        """[T, E]: the rest of the text is read on from a memory, its first token at position `place`."""
        return memory.read(self.model, self.text.tokens[self.cut : -1], place)

    @torch.inference_mode()
    def apart(self, states: Tensor, closed: bool = False) -> list[float]:
        """[T] nats to a text that never had the span."""
        said = torch.tensor(self.text.tokens[self.cut + 1 :], device=states.device)
        return compare_states(output_projection(self.model), states, self.without[closed], said).kl

    def of_erasers(self, erasers: Mapping[str, Eraser]) -> Iterator[Row]:
        """A row an eraser and bin."""
        head = self.text.tokens[: self.cut]
        for name, eraser in erasers.items():
            erased = eraser(self.model, self.memory, head, self.text.span, self.frequencies)
            yield from self.rows({"eraser": name, "recomputed": erased.recomputed}, erased)

    def of_layers(self) -> Iterator[Row]:
        """A row a set of layers that drop the span, and bin: the first so many, and each alone."""
        count = len(self.memory.keys)
        for layers in [*(range(last) for last in range(count + 1)), *(range(i, i + 1) for i in range(1, count))]:
            erased = Erased(dropped_from(self.memory, self.text.span, layers), self.cut, 0)
            yield from self.rows({"first_layer": layers.start, "layers": len(layers)}, erased)

    def rows(self, names: Row, erased: Erased) -> Iterator[Row]:
        own = self.apart(self.after(erased.memory, erased.next), closed=erased.next != self.cut)
        start, end = self.text.span
        after = self.cut - max(end, self.text.prompt)
        known = {"sample": self.text.sample, "length": end - start, "after": after, "age": self.cut - end}
        for since, part in bins(len(own)):
            columns = {"kl_dense": self.dense, "kl_erased": own, "kl_closing": self.closing}
            sums = {name: sum(column[part]) for name, column in columns.items()}
            yield {**known, **names, "since": since, "tokens": len(own[part]), **sums}


def bins(count: int) -> Iterator[tuple[int, slice]]:
    """Where each begins, and which of so many tokens it has; none that is empty."""
    for start, end in pairwise((*SINCE, count)):
        if start < min(end, count):
            yield start, slice(start, min(end, count))
