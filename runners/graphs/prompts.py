"""Prompts of rounded lengths, so many a pass, each length captured once.

Alone in its pass, what is left of a prompt depends on nothing but itself. Of several the longest rounds the length of
all, and a product of other sizes may round otherwise.

R prompts of a pass, H KV heads, Hq query heads, G = Hq / H, S tokens of a prompt, its padding included, D head dim, W
window, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
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
    """A pass over R prompts of so many tokens, on tensors that stay in place."""

    tokens: Tensor  # [R, S]
    seen: Tensor  # [R, V], or as wide as what else is seen
    run: Work


@dataclass(kw_only=True)
class PaddedPrompt(Prompt):
    """Where fewer are asked for than a pass has, the last comes again."""

    capture: Callable[[Work], Work]  # work as it is to be run, again and again
    layers_as: Callable[[], AbstractContextManager[None]] = nullcontext  # the model's layers, inside
    _lengths: Tensor = field(init=False)  # [R] int64, without the padding
    _readings: dict[int, Reading] = field(init=False, default_factory=dict)  # by S

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lengths = torch.zeros(self.most, dtype=torch.int64, device=self.cache.device)

    def forward(self, model: Model, *prompts: Sequence[int], attends: Attends | None = None) -> Tensor:
        size = -(-max(map(len, prompts)) // STEP) * STEP
        if size > LONGEST:
            return super().forward(model, *prompts, attends=attends)
        whole = [list(tokens) for tokens in (*prompts, *prompts[-1:] * (self.most - len(prompts)))]
        padded = [[*tokens, *tokens[-1:] * (size - len(tokens))] for tokens in whole]
        self._lengths.copy_(torch.tensor([len(tokens) for tokens in whole]), non_blocking=True)
        if attends:
            reading = self._reading(model, size, attends)
        elif size not in self._readings:
            reading = self._readings[size] = self._reading(model, size, self)
        else:
            reading = self._readings[size]
        reading.tokens.copy_(torch.tensor(padded), non_blocking=True)
        reading.run()
        return reading.seen

    def _reading(self, model: Model, size: int, attends: Attends) -> Reading:
        tokens = torch.zeros(self.most, size, dtype=torch.int64, device=self.cache.device)
        order = torch.arange(size, device=tokens.device)[None]
        vocabulary, hidden = output_projection(model).weight.shape
        width = vocabulary if self.sees is forward else hidden
        seen = torch.zeros(self.most, width, dtype=model.dtype, device=tokens.device)

        def work() -> None:
            last = self._lengths - 1
            with self.layers_as():
                seen.copy_(self.sees(model, tokens, torch.minimum(order, last[:, None]), attends, last))

        return Reading(tokens, seen, self.capture(work) if attends is self else work)

    def hear(self, index: int, states: Tensor) -> None:
        """Hidden states [R, S, E]; what is before the first token may be anything."""
        if states.shape[1] > LONGEST:
            super().hear(index, states)
            return
        newest = self._newest(self.cache.policy.needs.hidden).clamp(min=0)
        newest = states.gather(1, newest[..., None].expand(-1, -1, states.shape[2]))
        self.layers[index].hear(newest, self._lengths - 1)

    def _newest(self, count: int) -> Tensor:
        """[R, count]: places of the newest tokens, oldest first; negative: there was no such token."""
        return self._lengths[:, None] + torch.arange(-count, 0, device=self._lengths.device)

    def fill(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> None:
        """The padding becomes copies of the last token, in slots that are not live."""
        size, needs, lengths = key.shape[2], self.cache.policy.needs, self._lengths[:, None]
        if size > LONGEST:
            super().fill(index, query, key, value, scale)
            return
        order = torch.arange(size, device=key.device)
        known = torch.minimum(order, lengths - 1)[:, None, :, None].expand_as(key)
        newest = self._newest(needs.queries)[:, None, None, :, None]
        asked = newest.clamp(min=0).expand(*query.shape[:3], -1, query.shape[4])
        keys, values = key.gather(2, known), value.gather(2, known)
        self.layers[index].fill(
            slice(None),
            self._lengths,
            keys=keys,
            values=values,
            positions=torch.where(order < lengths, order, -1).to(torch.int32)[:, None],
            queries=query.gather(3, asked) * (newest >= 0),
            mass=prompt_mass(query, key, scale, self._lengths, decay=needs.decay) if needs.mass else 0.0,
            noted=self.cache.notes(keys, values),
        )
