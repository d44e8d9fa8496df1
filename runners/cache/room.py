"""What a layer's columns are sized by, and how one of them is kept.

B rows, L layers, H KV heads, G query heads per KV head, N slots, P pages, D head dim, C codes, M numbers
beside them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ...kernels import attend
from ...kernels.pack import Format
from ...methods.policy import Needs
from .shape import Shape
from .storage import PLAIN, Storage


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the columns of a layer are sized by."""

    shape: Shape
    needs: Needs
    slots: int
    storage: Storage = PLAIN
    notes: int = 0  # constants that are noted of a token before it is packed

    @classmethod
    def of(cls, shape: Shape, needs: Needs, capacity: int, storage: Storage = PLAIN, notes: int = 0) -> "Room":
        """For `capacity` slots per row and head, rounded up to whole blocks of the attention."""
        slots = -(-capacity // attend.BLOCK) * attend.BLOCK
        return cls(shape=shape, needs=needs, slots=slots, storage=storage, notes=notes)

    def resized(self, capacity: int) -> "Room":
        return Room.of(self.shape, self.needs, capacity, self.storage, self.notes)

    @property
    def pages(self) -> int:
        return -(-self.slots // self.needs.page) if self.needs.page else 0

    def width(self, form: Format) -> int:
        """Numbers, or codes, of a vector."""
        return form.num_codes(self.shape.dim) if form.packs else self.shape.dim

    def ring(self, form: Format) -> tuple[int, int]:
        return (self.storage.residual if form.packs else 0), self.shape.dim


class Column(NamedTuple):
    """How a layer keeps one thing that it knows of each row, and of each KV head of it."""

    size: Callable[[Room], tuple[int, ...]]  # after [B, H]; none where it is not needed
    dtype: torch.dtype | Callable[[Room], torch.dtype | None] | None = None  # None: the model's
    empty: int = 0  # what stands where no token ever stood
    by_slot: bool = True  # [B, H, N, ...]: an eviction permutes it; otherwise it is the row's, whatever is live
    by_head: bool = True  # otherwise [B, 1, ...]


def of_vectors(form: Callable[[Storage], Format]) -> Column:
    """Vectors, or their codes."""
    return Column(
        lambda room: (room.slots, room.width(form(room.storage))),
        lambda room: form(room.storage).dtype if form(room.storage).packs else None,
    )


def of_scales(form: Callable[[Storage], Format]) -> Column:
    return Column(lambda room: (room.slots, form(room.storage).num_scales(room.shape.dim)), torch.float16)
