"""One step's writes to a layer: the new token of every row goes into the first free slot of each KV head.

B rows, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

from ..pack import Stored
from . import reference

__all__ = ["Memory", "PackedToken", "append"]


class Memory(Protocol):
    """The columns of a layer; what is not needed has no elements."""

    keys: Tensor  # [B, H, N, D]
    values: Tensor  # [B, H, N, D]
    positions: Tensor  # [B, H, N] int32
    mass: Tensor  # [B, H, N] float32
    rank: Tensor  # [B, H, N] int32
    lengths: Tensor  # [B, H] int32: live slots
    queries: Tensor  # [B, H, G, W, D], the query of position p at p mod W
    page_min: Tensor  # [B, H, P, D]
    page_max: Tensor


class PackedToken(NamedTuple):
    """Where a token goes whose key or value is packed, and what is noted of it before."""

    keys: Stored  # `memory.keys` are its codes, or itself
    values: Stored
    noted: Tensor  # [B, H, N, C]
    notes: Tensor  # [B, H, C] of the token


def append(
    memory: Memory,
    *,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position: Tensor,
    active: Tensor,
    page: int,
    packed: PackedToken | None = None,
) -> Tensor:
    """Write the token, make `memory.lengths` one longer where a row is active; returns the lengths to attend to.

    query [B, H, G, D]; key, value [B, H, D]; position [B]; active [B] int32, 1 or 0. An idle row attends to the slot
    it has just written, and does not keep it; one that is full, since it ended where it was due, writes over its last.
    The lengths returned, [B, H] int32, count that slot in every row. A key or value that is packed is encoded here,
    once; bounds of pages are those of what came.
    """
    token = (query, key, value, position, active)
    if key.is_cuda:
        from . import kernel

        return kernel.append(memory, *token, page, packed)
    return reference.append(memory, *token, page, packed)
