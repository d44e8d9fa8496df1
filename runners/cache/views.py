"""What a policy sees of a layer: an eviction some of its rows, or all in place; a selection all of them, at every step.

B rows, L layers, H KV heads, G query heads per KV head, N slots, W window, C constants, D head dim.
"""

from dataclasses import fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...kernels.noise import Noise
from ...kernels.pack import Stored
from ...methods.policy import LayerView, Policy
from .layer import COLUMNS, Layer
from .round_facts import RoundFacts

SEEN = {field.name for field in fields(LayerView)}
# columns that are shown as they stand: of positions what is not live is hidden, queries stand in a ring, and keys and
# values may be packed
IN_PLACE = [name for name in COLUMNS if name in SEEN - {"positions", "queries", "hidden", "keys", "values"}]


class PackedView(LayerView):
    """A view whose keys and values are decoded where they are asked for, and stay so; kernels read them packed.

    What is there goes past the constructor of a frozen dataclass, which would want every field at once.
    """

    def __init__(self, keys: Stored, values: Stored, **known: Any) -> None:
        vars(self).update(known, stored_keys=keys, stored_values=values)

    @cached_property
    def keys(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return decoded(self.stored_keys)

    @cached_property
    def values(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        return decoded(self.stored_values)


def decoded(column: Stored) -> Tensor:
    """[B, H, N, D] of the model's dtype."""
    return column if isinstance(column, Tensor) else column.float().to(column.dtype)


def view_of(layer: Layer, index: int, policy: Policy, facts: RoundFacts) -> LayerView:
    """What an eviction sees."""
    at = facts.at
    keys, values = layer.stored(at, facts.position)
    live = layer.live(layer.lengths[at])
    positions = torch.where(live, layer.positions[at], -1)
    candidates = live & (positions < facts.recent[:, None, None])
    known: dict[str, Any] = {name: getattr(layer, name)[at] for name in IN_PLACE} | dict(
        layer=index,
        num_layers=len(facts.excess),
        positions=positions,
        live=live,
        candidates=candidates,
        evictable=candidates & (positions >= facts.protected[index][:, None, None]),
        excess=facts.excess[index],
        round=facts.round,
        queries=layer.newest_queries(at, facts.position),
        hidden=layer.newest_states(at, facts.position),
        noise=facts.noise,
        **vars(layer.known),
    )
    if isinstance(keys, Tensor) and isinstance(values, Tensor):
        return LayerView(keys=keys, values=values, constants=policy.constants(keys, values), **known)
    return PackedView(keys, values, constants=layer.noted[at], **known)


class Reading(PackedView):
    """What a selection sees: all rows in place, the step's token among their slots; no rounds, nothing protected.

    It is lazy, for one is built in every layer at every step: `live`, `positions`, `queries` and `constants` each take
    a pass over slots or window, and Quest looks at none of them. So they are made when they are asked for.
    """

    memory: Layer
    policy: Policy
    lengths: Tensor  # [B, H] int32, the step's token included; an idle row shows the one slot that it writes
    position: Tensor  # [B] of the step's token

    def __init__(
        self,
        *,
        memory: Layer,
        policy: Policy,
        layer: int,
        num_layers: int,
        lengths: Tensor,
        position: Tensor,
        noise: Noise,
    ) -> None:
        own = dict(memory=memory, policy=policy, lengths=lengths, position=position)
        columns = vars(memory.known) | {name: getattr(memory, name) for name in IN_PLACE}
        keys, values = memory.stored_by(position)
        super().__init__(keys, values, **own, layer=layer, num_layers=num_layers, noise=noise, **columns)

    @property
    def num_live(self) -> Tensor:
        return self.lengths

    @cached_property
    def live(self) -> Tensor:
        return self.memory.live(self.lengths)

    @property
    def candidates(self) -> Tensor:
        return self.live

    @property
    def evictable(self) -> Tensor:
        return self.live

    @cached_property
    def positions(self) -> Tensor:
        return self.memory.positions.masked_fill(~self.live, -1)

    @cached_property
    def excess(self) -> Tensor:
        return torch.zeros_like(self.position, dtype=torch.int32)

    @property
    def round(self) -> Tensor:
        return self.excess

    @cached_property
    def queries(self) -> Tensor:
        return self.memory.newest_queries(slice(None), self.position + 1)

    @cached_property
    def hidden(self) -> Tensor:
        return self.memory.newest_states(slice(None), self.position + 1)

    @cached_property
    def constants(self) -> Tensor:
        if self.memory.room.storage.packs:
            return self.memory.noted
        return self.policy.constants(self.keys, self.values)
