"""Several prompts a pass, behind one another in one row of tokens; each rounded number of tokens is captured once.

Alone in its pass, what is left of a prompt depends on nothing but itself. Of several, the sum of their lengths says how
large products are, and one of another size may round otherwise.

R prompts of a pass, H KV heads, Hq query heads, G = Hq / H, T tokens of a pass, its padding included, S slots of a
prompt, D head dim, W window, V tokens of the vocabulary.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import NamedTuple

import torch
from torch import Tensor

from ...kernels.segments import attend_segments
from ..generate import Prompt, prompt_mass
from ..model import Attends, Model, forward, output_projection

STEP = 64  # tokens: numbers are rounded up to multiples, large ones to a sixteenth of a power of two
LONGEST = 1024  # tokens of a prompt: beyond, launches take less time than products

Work = Callable[[], None]


def rounded(count: int) -> int:
    """Tokens of a pass over so many."""
    step = max(STEP, (1 << (count - 1).bit_length()) // 16)
    return -(-count // step) * step


class Reading(NamedTuple):
    """A pass over so many tokens, on tensors that stay in place."""

    tokens: Tensor  # [2, T]: they, and their positions
    run: Work


@dataclass(kw_only=True)
class PackedPrompt(Prompt):
    """Where fewer are asked for than a pass has, the others are empty."""

    capture: Callable[[Work], Work]  # work as it is to be run, again and again
    layers_as: Callable[[], AbstractContextManager[None]] = nullcontext  # the model's layers, inside
    _bounds: Tensor = field(init=False)  # [R + 1] int32: where prompts begin, and where the last ends
    _at: Tensor = field(init=False)  # [R, S] int64: the token of each slot, the last one where there is none
    _readings: dict[int, Reading] = field(init=False, default_factory=dict)  # by T
    _after: Tensor | None = field(init=False, default=None)  # [R, V], what is seen after each: always in one place
    _long: bool = field(init=False, default=False)  # what is read takes launches of its own

    def __post_init__(self) -> None:
        super().__post_init__()
        self._bounds = torch.zeros(self.most + 1, dtype=torch.int32, device=self.cache.device)

    def forward(self, model: Model, *prompts: Sequence[int], attends: Attends | None = None) -> Tensor:
        if self._after is None:
            vocabulary, hidden = output_projection(model).weight.shape
            width = vocabulary if self.sees is forward else hidden
            self._after = torch.zeros(self.most, width, dtype=model.dtype, device=self.cache.device)
        lengths = [len(tokens) for tokens in prompts]
        self._long = max(lengths) > LONGEST
        if self._long:
            self._after[: len(prompts)] = super().forward(model, *prompts, attends=attends)
            return self._after
        total = sum(lengths)
        size = rounded(total)
        bounds = [*accumulate(lengths, initial=0), *[total] * (self.most - len(prompts))]
        # before a capture, which runs: those of the pass before may end beyond its tokens
        self._bounds.copy_(torch.tensor(bounds), non_blocking=True)
        if attends:
            reading = self._reading(model, size, attends)
        elif size not in self._readings:
            reading = self._readings[size] = self._reading(model, size, self)
        else:
            reading = self._readings[size]
        padding = [0] * (size - total)
        tokens = [[*chain(*prompts), *padding], [*chain(*map(range, lengths)), *padding]]
        reading.tokens.copy_(torch.tensor(tokens), non_blocking=True)
        reading.run()
        return self._after

    def _reading(self, model: Model, size: int, attends: Attends) -> Reading:
        tokens = torch.zeros(2, size, dtype=torch.int64, device=self.cache.device)

        def work() -> None:
            slots = torch.arange(min(size, LONGEST, self.layers[0].room.slots), device=tokens.device)
            self._at = self._tokens(slots.expand(self.most, -1), size)
            with self.layers_as():
                last = self._at[:, -1]
                self._after.copy_(self.sees(model, tokens[:1], tokens[1:], attends, last))

        return Reading(tokens, self.capture(work) if attends is self else work)

    @property
    def _lengths(self) -> Tensor:
        """[R, 1] int64."""
        return self._bounds.diff()[:, None].long()

    def _tokens(self, positions: Tensor, size: int) -> Tensor:
        """[R, n]: where in the pass positions [R, n] of each prompt are; beyond its ends, its first or last."""
        own = torch.minimum(positions, self._lengths - 1).clamp(min=0)
        return (self._bounds[:-1, None] + own).clamp(max=size - 1)

    def _newest(self, count: int) -> Tensor:
        """[R, count]: positions of the newest tokens, oldest first; negative: there was no such token."""
        return self._lengths + torch.arange(-count, 0, device=self._bounds.device)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, T, D], key and value [1, H, T, D] -> [1, T, Hq, D]."""
        if self._long:
            return super().attend(index, query, key, value, scale)
        self.fill(index, query.unflatten(1, (key.shape[1], -1)), key, value, scale)
        query, key, value = (part[0].transpose(0, 1) for part in (query, key, value))
        return attend_segments(query, key, value, self._bounds, min(LONGEST, len(query)), scale)[None].contiguous()

    def hear(self, index: int, states: Tensor) -> None:
        """Hidden states [1, T, E]; what is before the first token may be anything."""
        if self._long:
            super().hear(index, states)
            return
        newest = self._tokens(self._newest(self.cache.policy.needs.hidden), states.shape[1])
        self.layers[index].hear(states[0, newest], self._lengths[:, 0] - 1)

    def fill(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> None:
        """query [1, H, G, T, D]; slots behind a prompt become copies of its last token, and are not live."""
        if self._long:
            super().fill(index, query, key, value, scale)
            return
        needs, lengths = self.cache.policy.needs, self._lengths
        slots = torch.arange(self._at.shape[1], device=key.device)
        keys, values = (part[0, :, self._at].transpose(0, 1) for part in (key, value))
        newest = self._newest(needs.queries)
        asked = query[0, :, :, self._tokens(newest, key.shape[2])].movedim(2, 0)
        mass = 0.0
        if needs.mass:
            mass = prompt_mass(query[0, :, :, self._at].movedim(2, 0), keys, scale, lengths[:, 0], decay=needs.decay)
        self.layers[index].fill(
            slice(None),
            lengths[:, 0],
            keys=keys,
            values=values,
            positions=torch.where(slots < lengths, slots, -1).to(torch.int32)[:, None],
            queries=asked * (newest >= 0)[:, None, None, :, None],
            mass=mass,
            noted=self.cache.notes(keys, values),
        )
