"""One step's writes to a layer: the new token of every row goes into the first free slot of each KV head.

B rows, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim.
"""

from typing import Protocol

from torch import Tensor

from . import reference

__all__ = ["Memory", "append"]


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


def append(
    memory: Memory,
    *,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position: Tensor,
    active: Tensor,
    page: int,
) -> Tensor:
    """Write the token, make `memory.lengths` one longer where a row is active; returns the lengths to attend to.

    query [B, H, G, D]; key, value [B, H, D]; position [B]; active [B] int32, 1 or 0. An idle row attends to the slot
    it has just written, and does not keep it: the lengths returned, [B, H] int32, are one more than those before for
    every row.
    """
    token = (query, key, value, position, active)
    if key.is_cuda:
        from . import kernel

        return kernel.append(memory, *token, page)
    return reference.append(memory, *token, page)
