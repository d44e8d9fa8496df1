"""LazyEviction: drop the tokens whose next use is overdue by the longest gap that they have shown between two uses.

arXiv 2506.15969, by the copy of its release in WeianMao/triattention (e7a0eb1, LazyEviction/model). A query uses a slot
that it gives a probability (over all live slots) of `used` or more. With the positions since the last use and the
longest gap between two uses, which start at 0 and 0 at the end of the prompt and at 1 and 0 before a token's own
query, `recurrence` says what a token is worth: as released, or as the paper writes it (both add two sigmoids, which are
not the same two). A row evicts every W steps and keeps the newest W: `recent` and `interval`, 101 for GSM8K (the
authors take 175 for MATH and 363 for AIME).

Deviations: one record per KV head, where a slot is used if any query head of the group uses it (the release: one per
query head, on keys repeated for each); rounds are counted from the budget (the release: from the prompt); a round comes
after the step's attention; whole positions and float32, not the model's dtype. The state is 8 bytes a slot.
"""

from dataclasses import dataclass, field

from torch import Tensor

from .policy import Eviction, LayerView, Needs
from .recurrence import AsReleased, Recurrence


@dataclass(frozen=True, kw_only=True)
class LazyEviction(Eviction):
    used: float = 1e-4  # least probability of a use
    recurrence: Recurrence = field(default_factory=AsReleased)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.used <= 1:
            raise ValueError(f"method.used={self.used}: use a probability above 0, at most 1")

    @property
    def needs(self) -> Needs:
        return Needs(used=self.used)

    def score(self, view: LayerView) -> Tensor:
        since = view.positions.amax(-1, keepdim=True) - view.last_used
        return self.recurrence(since.float(), view.longest_gap.float())
