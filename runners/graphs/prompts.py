"""Prompts of rounded lengths, each captured once: what is left of a prompt depends on nothing but itself.

H KV heads, Hq query heads, G = Hq / H, S tokens of the prompt, its padding included, D head dim, W window, V tokens of
the vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..generate import Prompt, prompt_mass
from ..model import Attends, Model, forward, output_projection

STEP = 64  # tokens: lengths are rounded up to multiples
LONGEST = 1024  # tokens: beyond, launches take less time than products

Work = Callable[[], None]


class Reading(NamedTuple):
    """A pass over so many tokens, on tensors that stay in place."""

    tokens: Tensor  # [1, S]
    seen: Tensor  # [1, V], or as wide as what else is seen
    run: Work


@dataclass(kw_only=True)
class PaddedPrompt(Prompt):
    capture: Callable[[Work], Work]  # work as it is to be run, again and again
    _length: Tensor = field(init=False)  # [1] int64, without the padding
    _readings: dict[int, Reading] = field(init=False, default_factory=dict)  # by S

    def __post_init__(self) -> None:
        super().__post_init__()
        self._length = torch.zeros(1, dtype=torch.int64, device=self.cache.device)

    def forward(self, model: Model, tokens: Sequence[int], attends: Attends | None = None) -> Tensor:
        size = -(-len(tokens) // STEP) * STEP
        if size > LONGEST:
            return super().forward(model, tokens, attends)
        padded = torch.tensor([[*tokens, *[tokens[-1]] * (size - len(tokens))]])
        self._length.fill_(len(tokens))
        if attends:
            reading = self._reading(model, size, attends)
        elif size not in self._readings:
            reading = self._readings[size] = self._reading(model, size, self)
        else:
            reading = self._readings[size]
        reading.tokens.copy_(padded, non_blocking=True)
        reading.run()
        return reading.seen

    def _reading(self, model: Model, size: int, attends: Attends) -> Reading:
        tokens = torch.zeros(1, size, dtype=torch.int64, device=self.cache.device)
        order = torch.arange(size, device=tokens.device)[None]
        vocabulary, hidden = output_projection(model).weight.shape
        width = vocabulary if self.sees is forward else hidden
        seen = torch.zeros(1, width, dtype=model.dtype, device=tokens.device)

        def work() -> None:
            last = self._length - 1
            seen.copy_(self.sees(model, tokens, torch.minimum(order, last), attends, last))

        return Reading(tokens, seen, self.capture(work) if attends is self else work)

    def fill(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> None:
        """The padding becomes copies of the last token, in slots that are not live."""
        size, needs = key.shape[1], self.cache.policy.needs
        window = needs.queries
        if size > LONGEST:
            super().fill(index, query, key, value, scale)
            return
        order = torch.arange(size, device=key.device)
        known = torch.minimum(order, self._length - 1)
        newest = self._length + torch.arange(-window, 0, device=key.device)  # negative: there was no such token
        queries = query.index_select(2, newest.clamp(min=0)) * (newest >= 0)[:, None]
        keys, values = key.index_select(1, known), value.index_select(1, known)
        self.layers[index].fill(
            0,
            self._length,
            keys=keys,
            values=values,
            positions=torch.where(order < self._length, order, -1).to(torch.int32),
            queries=queries,
            mass=prompt_mass(query, key, scale, self._length, decay=needs.decay) if needs.mass else 0.0,
            noted=self.cache.notes(keys[None], values[None])[0],
        )
