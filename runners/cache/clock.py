"""The host's account of one row of the cache: how many slots it holds, when its next round is due, what it has cost.

How many slots a round drops does not depend on which they are, so the host knows every length without asking the device
anything, and the device runs steps and rounds without asking the host. There is no tensor here.

A row is due where it holds more slots than the budget has `tokens`, by a multiple of `interval`, after a step; under a
budget that is a share, where the tokens that may go, those gone among them, are a multiple of `interval` and too many
are left. It is so for all layers together, by the budget's own number, whatever part of it a layer has. The prompt
alone makes a row due only where the budget says `prefill`.

L layers.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from ...methods.budget import Budget
from ...methods.policy import Policy


class Usage(NamedTuple):
    """What a row has cost."""

    num_evictions: int
    peak_slots: float  # per KV head, mean over layers
    mean_slots: float  # the same, mean over steps
    tokens_read: float  # slots that a step attends to: mean over steps, layers and heads
    resident_bytes: int  # at the peak
    eviction_steps: Sequence[int] = ()  # index of the first token that is written after each eviction
    attention_error: Sequence[float] | None = None  # before each token: how far attention is off, a part of its output


@dataclass(kw_only=True)
class Clock:
    policy: Policy
    num_layers: int
    prompt: int  # tokens
    position: int = field(init=False)  # tokens appended so far: the position of the next one
    steps: int = 0  # tokens appended after the prompt
    resident: list[int] = field(init=False)  # [L] live slots per KV head, the mean where heads differ
    round: int = 0  # evictions so far
    eviction_steps: list[int] = field(default_factory=list)  # the first token written after each; the prompt gives 0
    peak_slots: float = field(init=False)  # largest mean of `resident` over layers
    slot_steps: float = 0.0  # sum over steps of that mean, the new slot counted
    _counted: int = field(init=False)  # slots that a layer would hold whose budget is `tokens`: what a row is due by

    def __post_init__(self) -> None:
        self.position = self._counted = self.prompt
        self.resident = [self.prompt] * self.num_layers
        self.peak_slots = float(self.prompt)

    def step(self, count: int = 1) -> None:
        """So many steps, none of them due but the last."""
        mean = sum(self.resident) / self.num_layers
        self.position += count
        self.steps += count
        self._counted += count
        self.resident = [slots + count for slots in self.resident]
        self.peak_slots = max(self.peak_slots, mean + count)
        self.slot_steps += count * mean + count * (count + 1) / 2

    def after(self, count: int) -> "Clock":
        """So many steps from here, with the rounds between them, but for one that is due after the last."""
        clock = copy(self)
        clock.eviction_steps = [*self.eviction_steps]
        while count:
            part = min(count, clock.steps_to_due or count)
            clock.step(part)
            if (count := count - part) and clock.due:
                clock.evicted()
        return clock

    @property
    def _budget(self) -> Budget | None:
        return self.policy.budget if self.policy.evicts else None

    @property
    def steps_to_due(self) -> int | None:
        """Steps from here until the row is due, 0: now; None: never. Under a share, until it may be: ask again then."""
        budget = self._budget
        if budget is None:
            return None
        over = self._counted - budget.at(self.position, self.prompt)
        if over > 0 and budget.prefill and not self.steps:
            return 0
        if budget.interval == 0:
            return None
        if budget.share is not None:
            left = -(self.position - budget.whole(self.prompt)) % budget.interval
            return left if left or (self.steps and over > 0) else budget.interval
        left = -over % budget.interval if over > 0 else budget.interval - over
        return left if left or self.steps else budget.interval

    @property
    def due(self) -> bool:
        return self.steps_to_due == 0

    def excess(self, layer: int) -> int:
        """Slots that the layer drops per head if it evicts now."""
        tokens = self._tokens(layer)
        return 0 if tokens is None else max(0, self.resident[layer] - tokens)

    def longest(self, layer: int) -> int:
        """Slots that no head of the layer exceeds."""
        return self.position if self.policy.uneven else self.resident[layer]

    def protected(self, layer: int) -> int:
        """Positions of the layer below this are never dropped."""
        budget = self._budget
        return budget.protected(self.prompt, self._tokens(layer)) if budget else 0

    def _tokens(self, layer: int) -> int | None:
        return self.policy.tokens_at(layer, self.num_layers, self.position, self.prompt)

    @property
    def recent(self) -> int:
        """Positions from here on are recent."""
        return self.position - (self._budget.recent if self._budget else 0)

    def evicted(self) -> None:
        """A round has been: every layer is back at its budget."""
        self.resident = [slots - self.excess(layer) for layer, slots in enumerate(self.resident)]
        self._counted = self.policy.budget.at(self.position, self.prompt)
        self.round += 1
        self.eviction_steps.append(self.steps + 1)

    @property
    def mean_slots(self) -> float:
        return self.slot_steps / self.steps if self.steps else self.peak_slots

    def usage(self, tokens_read: float, slot_bytes: int, page_bytes: int, row_bytes: int) -> Usage:
        """Bytes of a slot and of a page's bounds, all layers and heads together, and of what depends on neither."""
        pages = ceil(self.peak_slots / page) if (page := self.policy.needs.page) else 0
        return Usage(
            num_evictions=self.round,
            peak_slots=self.peak_slots,
            mean_slots=self.mean_slots,
            tokens_read=tokens_read,
            resident_bytes=round(self.peak_slots * slot_bytes) + pages * page_bytes + row_bytes,
            eviction_steps=self.eviction_steps,
        )
