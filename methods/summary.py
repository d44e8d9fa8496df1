"""Summary: one slot a head stands for all that went: how many they were, their mean key and their mean value.

The least of the methods that compensate for what they drop (MomentKV, arXiv 2606.01563; ResKV, arXiv 2607.29591;
KeepKV), without their code: reconstructed from what they share. Log n is added to the logit of the slot, so it weighs
as n tokens whose keys are all its own. The slot is one of the budget and never goes; the first round gives it the place
of the oldest token that may go, which it takes up too.

Deviations from all of them: no second moments, so the softmax over what went is that at its mean; keys are averaged as
they were rotated. A mean is rounded to the model's dtype at every round.

B rows, H KV heads, N slots, D head dim.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .allocation import Allocation
from .policy import LayerView, Needs


@dataclass(frozen=True, kw_only=True)
class Summary(Allocation):
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of.uneven:
            name = type(self.of).__name__
            raise ValueError(f"method.of={name}: a head of it may lose nothing, and each has a summary: use another")

    @property
    def needs(self) -> Needs:
        return replace(self.of.needs, bias=True, merges=True)

    def place(self, view: LayerView) -> Tensor:
        """[B, H, N] bool: the slot of the summary, or where it will be: the oldest that may go."""
        oldest = view.positions.masked_fill(~view.evictable, torch.iinfo(torch.int32).max)
        new = view.evictable & (oldest == oldest.amin(-1, keepdim=True))
        summary = view.bias > 0
        return torch.where(summary.any(-1, keepdim=True), summary, new)

    def keep(self, view: LayerView) -> Tensor:
        return self.of.keep(replace(view, evictable=view.evictable & ~self.place(view)))

    def counts(self, view: LayerView, keep: Tensor) -> Tensor:
        """[B, H, N] float32: for how many tokens each slot that the summary takes up stands; 0: it does not."""
        return view.bias.exp().round() * ((view.live & ~keep) | self.place(view))

    def weigh(self, view: LayerView, keep: Tensor) -> Tensor:
        count = self.counts(view, keep).sum(-1, keepdim=True)
        return torch.where(self.place(view), count.log(), 0)

    def merge(self, view: LayerView, keep: Tensor) -> tuple[Tensor, Tensor]:
        counts = self.counts(view, keep)
        share = (counts / counts.sum(-1, keepdim=True).clamp(min=1))[..., None, :]  # [B, H, 1, N]
        place = self.place(view)[..., None]
        keys, values = (
            torch.where(place, (share @ column.float()).to(column.dtype), column) for column in (view.keys, view.values)
        )
        return keys, values
