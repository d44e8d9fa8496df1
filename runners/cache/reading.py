"""What a selection sees of a layer. It is built in every layer at every step, so it makes only what is looked at.

B rows, H KV heads, G query heads per KV head, N slots, W window, C constants, D head dim.
"""

from functools import cached_property

import torch
from torch import Tensor

from ...kernels.noise import Noise
from ...methods.policy import LayerView, Policy
from .layer import Layer
from .view import IN_PLACE


class Reading(LayerView):
    """All rows of a layer in place, the step's token among their slots; a selection has no rounds, protects nothing."""

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
        columns = {name: getattr(memory, name) for name in IN_PLACE}
        vars(self).update(own, layer=layer, num_layers=num_layers, noise=noise, **columns)  # a view is frozen

    @property
    def num_live(self) -> Tensor:
        return self.lengths

    @cached_property
    def live(self) -> Tensor:
        return torch.arange(self.keys.shape[2], device=self.keys.device) < self.lengths[..., None]

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
    def constants(self) -> Tensor:
        return self.policy.constants(self.keys, self.values)
