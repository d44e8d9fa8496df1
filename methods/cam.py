"""CaM: what goes is merged into the values of the tokens that follow it, the likelier the more it was attended to.

Zhang et al., ICML 2024, openreview LCTmppB165; kvpress's form of it (cam_press.py, 0ba9162), which merges all that goes
at a round at once. Each victim is merged with a probability of its mass over the mean mass of the next `merge_budget`
tokens that stay, at most 1: its value is divided by their number, and added to theirs. Keys stay.

Deviations: every victim is asked (kvpress: as many as came since the last round, the best of them, which is all but in
a prompt's first); KV heads have their own victims; mass counts the prompt's queries too; the draw is ours.

B rows, H KV heads, N slots, D head dim.
"""

from dataclasses import dataclass, replace

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import pad

from ..kernels import noise
from .allocation import Allocation
from .policy import LayerView, Needs
from .scores import slot_uniform


@dataclass(frozen=True, kw_only=True)
class CaM(Allocation):
    merge_budget: PositiveInt = 32  # tokens that a victim is merged into

    @property
    def needs(self) -> Needs:
        return replace(self.of.needs, mass=True, merges=True)

    @property
    def stochastic(self) -> bool:
        return True

    def merge(self, view: LayerView, keep: Tensor) -> tuple[Tensor, Tensor]:
        line = view.by_position
        stays, goes = keep.gather(-1, line), (view.live & ~keep).gather(-1, line)
        rank = stays.cumsum(-1) - stays.long()  # of those that stay, how many are older
        last = torch.minimum(rank + self.merge_budget, stays.sum(-1, keepdim=True))
        into = (last - rank).clamp(min=1)  # how many follow a victim and take it up
        mass = view.mass.gather(-1, line)
        in_order = (~stays).long().argsort(dim=-1, stable=True)  # places in line of those that stay, the oldest first
        summed = pad((mass * stays).double().gather(-1, in_order).cumsum(-1), (1, 0))
        mean = (summed.gather(-1, last) - summed.gather(-1, rank)) / into
        drawn = goes & (slot_uniform(view, stream=noise.MERGES).gather(-1, line) * mean < mass)
        wide = line[..., None].expand(-1, -1, -1, view.values.shape[-1])
        values = view.values.gather(2, wide)
        parts = values.float() * (drawn / into)[..., None]
        added = self.added(parts, rank, in_order).masked_fill(~stays[..., None], 0)
        merged = torch.empty_like(values).scatter_(2, wide, (values.float() + added).to(values.dtype))
        return view.keys, merged

    def added(self, parts: Tensor, rank: Tensor, in_order: Tensor) -> Tensor:
        """[B, H, N, D], in line: the parts [B, H, N, D] between each token and the one `merge_budget` before it.

        Of those that stay: whoever goes between the two has this one among those that follow.
        """
        before = pad(parts.cumsum(2), (0, 0, 1, 0))  # without one's own
        first = rank - self.merge_budget
        start = in_order.gather(-1, first.clamp(min=0)).masked_fill(first < 0, 0)
        end = torch.arange(rank.shape[-1], device=rank.device).expand_as(rank)
        there, here = (at[..., None].expand_as(parts) for at in (start, end))
        return before.gather(2, here) - before.gather(2, there)
