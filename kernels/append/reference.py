"""The step's writes in PyTorch.

B rows, H KV heads, G query heads per KV head, D head dim.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..pages.reference import extend

if TYPE_CHECKING:
    from . import Memory, PackedToken


def append(
    memory: "Memory",
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position: Tensor,
    active: Tensor,
    page: int,
    packed: "PackedToken | None" = None,
) -> Tensor:
    # an idle row that is full has no other than its last
    slots = torch.minimum(memory.lengths, memory.positions.shape[2] - 1 + active[:, None]).long()
    rows = torch.arange(key.shape[0], device=key.device)
    at = rows[:, None], torch.arange(key.shape[1], device=key.device), slots
    keys, values = (packed.keys, packed.values) if packed else (memory.keys, memory.values)
    for column, own in ((keys, key), (values, value)):
        if isinstance(column, Tensor):
            column[at] = own
        else:
            column.put(slots, own)
    if packed and packed.noted.numel():
        packed.noted[at] = packed.notes
    memory.positions[at] = position[:, None].to(torch.int32)
    if memory.mass.numel():
        memory.mass[at] = 0
    if memory.rank.numel():
        memory.rank[at] = position[:, None].to(torch.int32)
    if memory.queries.numel():
        memory.queries[rows, :, :, position % memory.queries.shape[3]] = query
    if memory.page_min.numel():
        extend(memory.page_min, memory.page_max, key, slots, page)
    memory.lengths += active[:, None]
    return slots.int() + 1
