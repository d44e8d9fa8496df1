"""The host's account of one row: when it is due, and what it has cost so far. No tensor, no question to the device.

L layers. A row is due when resident > tokens and (resident - tokens) mod interval = 0, after the step, for all layers
together; just after the prompt only where the budget says so.
"""

from dataclasses import dataclass, field

from ..methods.budget import Budget
from ..methods.policy import Policy


@dataclass(kw_only=True)
class Clock:
    policy: Policy
    num_layers: int
    prompt: int  # tokens
    position: int = field(init=False)  # tokens appended so far: the position of the next one
    resident: list[int] = field(init=False)  # [L] live slots per KV head, the mean where heads differ
    round: int = 0  # evictions so far
    steps: int = 0
    peak_slots: float = field(init=False)  # largest mean of `resident` over layers
    slot_steps: float = 0.0  # sum over steps of that mean, the new slot counted
    _since: int = field(init=False)  # resident slots of a layer whose budget is `tokens`

    def __post_init__(self) -> None:
        self.position = self._since = self.prompt
        self.resident = [self.prompt] * self.num_layers
        self.peak_slots = float(self.prompt)

    def step(self) -> None:
        self.position += 1
        self.steps += 1
        self._since += 1
        self.resident = [slots + 1 for slots in self.resident]
        mean = sum(self.resident) / self.num_layers
        self.peak_slots = max(self.peak_slots, mean)
        self.slot_steps += mean

    @property
    def _budget(self) -> Budget | None:
        return self.policy.budget if self.policy.evicts else None

    @property
    def due(self) -> bool:
        budget = self._budget
        if budget is None:
            return False
        over = self._since - budget.tokens
        return over > 0 and (over % budget.interval == 0 if self.steps else budget.prefill)

    def excess(self, layer: int) -> int:
        """Slots that the layer drops per head if it evicts now."""
        tokens = self.policy.tokens(layer, self.num_layers)
        return 0 if tokens is None else max(0, self.resident[layer] - tokens)

    def longest(self, layer: int) -> int:
        """Slots that no head of the layer exceeds."""
        return self.position if self.policy.uneven else self.resident[layer]

    def protected(self, layer: int) -> int:
        """Positions of the layer below this are never dropped."""
        budget = self._budget
        return budget.protected(self.prompt, self.policy.tokens(layer, self.num_layers)) if budget else 0

    def evicted(self) -> None:
        self.resident = [slots - self.excess(layer) for layer, slots in enumerate(self.resident)]
        self._since = self.policy.budget.tokens
        self.round += 1

    @property
    def mean_slots(self) -> float:
        return self.slot_steps / self.steps if self.steps else self.peak_slots
