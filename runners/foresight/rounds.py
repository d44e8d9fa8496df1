"""The rounds of an eviction that knows what comes, over a text of dense: what a scorer sees, and what it is to say.

A token is worth the most that a later block of `interval` queries gives it, mean over block and group, in dense; a
round drops those that are worth least, so that the next one sees a cache as evictions leave it.

H KV heads, G query heads per KV head, N slots, S tokens, D head dim, M slots of an example, F features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...kernels import evict
from ...methods.foresight import Foresight, features
from ...methods.policy import UNSEEN, LayerView
from ..cache import Clock
from ..cache.replay import State
from ..generate import prompt_mass
from .seen import Seen


class Example(NamedTuple):
    """One round, of one layer or stacked over all."""

    features: Tensor  # [H, M, F] float32
    worth: Tensor  # [H, M] float32; NaN where a head has fewer that may go


@dataclass(kw_only=True)
class Held:
    """What a layer's cache holds of a text, in the order of its tokens."""

    seen: Seen
    positions: Tensor  # [H, N] int32
    mass: Tensor  # [H, N]
    remembered: Tensor  # [H, N]

    @classmethod
    def prompt(cls, seen: Seen, length: int) -> "Held":
        heads = len(seen.keys)
        positions = torch.arange(length, dtype=torch.int32, device=seen.keys.device).expand(heads, -1)
        (mass,) = prompt_mass(seen.queries[None, :, :, :length], seen.keys[None, :, :length], seen.scale)
        return cls(seen=seen, positions=positions, mass=mass, remembered=torch.full_like(mass, UNSEEN))

    def of(self, column: Tensor) -> Tensor:
        """[H, N, ...] of what each token has, [H, S, ...]."""
        at = self.positions.long()
        return column.gather(1, at.view(*at.shape, *(1,) * (column.dim() - 2)).expand(*at.shape, *column.shape[2:]))

    def grow(self, start: int, end: int) -> None:
        """Take the tokens of these positions, whose queries attend to all that is held, and before them."""
        new = torch.arange(start, end, dtype=torch.int32, device=self.positions.device)
        self.positions = torch.cat([self.positions, new.expand(len(self.positions), -1)], 1)
        nothing = torch.zeros(len(self.positions), end - start, device=self.mass.device)
        self.remembered = torch.cat([self.remembered, nothing + UNSEEN], 1)
        queries = self.seen.queries[:, :, start:end].float() * self.seen.scale
        logits = queries @ self.of(self.seen.keys)[:, None].float().mT  # [H, G, Q, N]
        ahead = self.positions[:, None, None] > new[:, None]
        shares = logits.masked_fill(ahead, -torch.inf).softmax(-1)
        self.mass = torch.cat([self.mass, nothing], 1) + shares.mean(1).sum(1)

    def view(self, policy: Foresight, clock: Clock, layer: int, num_layers: int) -> LayerView:
        """What the policy sees of it; `clock` says where the text is."""
        nothing, newest = torch.empty(0), slice(clock.position - policy.budget.recent, clock.position)
        state = State(
            round=clock.round,
            layer=layer,
            num_layers=num_layers,
            prompt=clock.prompt,
            noise=torch.zeros(2, dtype=torch.int64, device=self.positions.device),
            positions=self.positions,
            keys=self.of(self.seen.keys),
            values=self.of(self.seen.values),
            queries=self.seen.queries[:, :, newest],
            mass=self.mass,
            rank=self.positions,
            kept=nothing,
            later=nothing,
            remembered=self.remembered,
        )
        return replace(state.view(policy), scaling=self.seen.scale)

    def drop(self, worth: Tensor, view: LayerView, remembered: Tensor) -> None:
        """Of least worth [H, N]."""
        gone = evict.lowest(worth[None], view.positions, view.evictable, view.excess)[0]
        left = (~gone).int().argsort(dim=-1, descending=True, stable=True)[:, : int((~gone[0]).sum())]
        self.positions, self.mass, self.remembered = (
            column.gather(1, left) for column in (self.positions, self.mass, remembered)
        )


@torch.inference_mode()
def examples(
    layers: Sequence[Seen], prompt: int, policy: Foresight, *, most: int, rng: torch.Generator
) -> Iterator[Example]:
    """Of each round of a text, of all layers: `most` slots that may go, drawn by `rng` in each head for itself."""
    clock = Clock(policy=policy, num_layers=1, prompt=prompt)
    held = [Held.prompt(seen, prompt) for seen in layers]
    length, position, later = layers[0].keys.shape[1], prompt, list[Tensor]()
    while True:
        while not (clock.due and clock.steps):
            clock.step()
        if clock.position >= length:
            return
        if not later:
            later = [seen.later(clock.position, policy.budget.interval) for seen in layers]
        made = []
        for index, one in enumerate(held):
            one.grow(position, clock.position)
            view = one.view(policy, clock, index, len(layers))
            worth = one.of(later[index][clock.round :].amax(0))
            made.append(some_of(view, worth, most, rng))
            one.drop(worth, view, policy.remember(view)[0])
        position = clock.position
        clock.evicted()
        yield Example(*(torch.stack(parts) for parts in zip(*made, strict=True)))


def some_of(view: LayerView, worth: Tensor, most: int, rng: torch.Generator) -> Example:
    """Of the slots that may go; places for more than there are stay empty."""
    may_go = view.evictable[0]
    order = torch.rand(may_go.shape, generator=rng).to(may_go.device).masked_fill(~may_go, -1)
    at = order.topk(min(most, order.shape[1]), dim=-1).indices
    empty = most - at.shape[1]
    seen = features(view)[0]
    seen = seen.gather(1, at[..., None].expand(-1, -1, seen.shape[-1]))
    worth = worth.masked_fill(~may_go, torch.nan).gather(1, at)
    return Example(pad(seen, (0, 0, 0, empty)), pad(worth, (0, empty), value=torch.nan))
