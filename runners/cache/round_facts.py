"""What the host knows of the rows of a round, and the views of all layers need.

R rows of a round, L layers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.noise import Noise
from .clock import Clock


@dataclass(frozen=True, kw_only=True)
class RoundFacts:
    """Packed, they are one tensor [R, 3 + 2 L] int32: one copy brings them to the device."""

    at: slice | Tensor  # which rows of the cache
    noise: Noise  # of these rows
    round: Tensor  # [R] int32, like all that follow: evictions so far
    recent: Tensor  # [R] positions from here on are recent
    position: Tensor  # [R] of the next token
    protected: Sequence[Tensor]  # [L] of [R]: positions below are never dropped
    excess: Sequence[Tensor]  # [L] of [R]: slots to drop per head

    @staticmethod
    def pack(clocks: Iterable[Clock]) -> Tensor:
        """On the host, of a clock a row."""
        rows = []
        for clock in clocks:
            layers = range(clock.num_layers)
            first = clock.round, clock.recent, clock.position
            rows.append([*first, *map(clock.protected, layers), *map(clock.excess, layers)])
        return torch.tensor(rows, dtype=torch.int32)

    @classmethod
    def unpack(cls, packed: Tensor, at: slice | Tensor, noise: Noise) -> "RoundFacts":
        """`noise` of all rows of the cache; each fact lies as kernels read it."""
        round, recent, position, *layers = packed.mT.contiguous().unbind()
        half = len(layers) // 2
        return cls(
            at=at,
            noise=Noise(keys=noise.keys[at]),
            round=round,
            recent=recent,
            position=position,
            protected=layers[:half],
            excess=layers[half:],
        )

    @staticmethod
    def nothing_to_drop(packed: Tensor, rows: Iterable[int]) -> None:
        """These of the packed rows keep all that they have."""
        num_layers = (packed.shape[1] - 3) // 2
        packed[list(rows), -num_layers:] = 0
