"""What an eviction sees of a layer: some rows of it, or all in place, with what the host says of these rows.

B rows, L layers, H KV heads, N slots.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...kernels.noise import Noise
from ...methods.policy import LayerView, Policy
from .layer import COLUMNS, Layer

# columns that are shown as they stand; of positions what is not live is hidden, and queries stand in a ring
IN_PLACE = [name for name in COLUMNS if name not in ("positions", "queries")]


class Facts(NamedTuple):
    """What views of the same rows have in common over the layers."""

    at: slice | Tensor  # which rows of the cache
    noise: Noise
    round: Tensor  # [B] int32, like all that follow
    recent: Tensor  # positions from here on are recent
    position: Tensor  # of the next token
    protected: Sequence[Tensor]  # [L] of [B]: positions below are
    excess: Sequence[Tensor]  # [L] of [B]

    @classmethod
    def of(cls, at: slice | Tensor, numbers: Tensor, noise: Noise) -> "Facts":
        """From `Clock.numbers` [B, 3 + 2 L] of the rows, and the noise of all rows of the cache."""
        round, recent, position, *layers = numbers.unbind(1)
        half = len(layers) // 2
        return cls(at, Noise(keys=noise.keys[at]), round, recent, position, layers[:half], layers[half:])


def view_of(layer: Layer, index: int, policy: Policy, facts: Facts) -> LayerView:
    at = facts.at
    columns = {name: getattr(layer, name)[at] for name in IN_PLACE}
    keys, positions = columns["keys"], layer.positions[at]
    live = torch.arange(keys.shape[2], device=keys.device) < layer.lengths[at][..., None]
    positions = positions.masked_fill(~live, -1)
    candidates = live & (positions < facts.recent[:, None, None])
    return LayerView(
        layer=index,
        num_layers=len(facts.excess),
        positions=positions,
        live=live,
        candidates=candidates,
        evictable=candidates & (positions >= facts.protected[index][:, None, None]),
        excess=facts.excess[index],
        round=facts.round,
        queries=layer.newest_queries(at, facts.position),
        constants=policy.constants(keys, columns["values"]),
        noise=facts.noise,
        **columns,
    )
