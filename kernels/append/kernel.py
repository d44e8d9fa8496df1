# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false
"""The step's writes in Triton: one launch a layer, a program a row and KV head.

B rows, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim.
"""

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..overlap import OVERLAP, begin
from ..pack.kernel import CHANNELS, column, layout, write, write_group

if TYPE_CHECKING:
    from ..pack import Stored
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
    rows, heads, groups, dim = query.shape
    keys, values = (packed.keys, packed.values) if packed else (memory.keys, memory.values)
    notes = packed.notes.contiguous() if packed and packed.noted.numel() else None
    assert keys.is_contiguous()  # they are written in place
    assert values.is_contiguous()
    assert key.stride(2) == value.stride(2) == 1
    read = torch.empty_like(memory.lengths)
    append_token[heads, rows](
        memory.keys,
        memory.values,
        memory.positions,
        memory.mass,
        memory.rank,
        memory.lengths,
        memory.queries,
        memory.page_min,
        memory.page_max,
        query.contiguous(),
        key,
        value,
        position,
        active,
        read,
        *turned_token(keys, key),
        *turned_token(values, value),
        packed.noted if packed and notes is not None else None,
        notes,
        memory.keys.shape[2],
        memory.page_min.shape[2],
        *key.stride()[:2],
        *value.stride()[:2],
        KEYS=layout(keys),
        VALUES=layout(values),
        NOTES=0 if notes is None else notes.shape[2],
        GROUPS=groups,
        DIM=dim,
        MASS=memory.mass.numel() > 0,
        RANK=memory.rank.numel() > 0,
        WINDOW=memory.queries.shape[3] if memory.queries.numel() else 0,
        PAGE=page if memory.page_min.numel() else 0,
        MEMBERS=triton.next_power_of_2(groups),
        CHANNELS=triton.next_power_of_2(dim),
        num_warps=1,
        **OVERLAP,
    )
    return read


def turned_token(stored: "Stored", vectors: Tensor) -> tuple:
    """What a kernel is given to write vectors [B, H, D] as codes: the column, and the vectors in its basis."""
    if isinstance(stored, Tensor):
        return None, None
    return column(stored), stored.form.turn(vectors[:, :, None]).contiguous()


@triton.jit
def store_packed(column, own, pair, at, place, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """One vector [D] as codes, and as it is into the ring."""
    RING: tl.constexpr = LAYOUT[3]
    channel = tl.arange(0, DIM)
    if RING:
        tl.store(column[3] + (pair * RING + place % RING) * DIM + channel, own.to(column[3].dtype.element_ty))
    if LAYOUT[0] == CHANNELS:
        GROUP: tl.constexpr = LAYOUT[2]
        if place % GROUP == GROUP - 1:
            tl.debug_barrier()  # what one thread has stored the others load
            where = pair * RING + (place - GROUP + 1 + tl.arange(0, GROUP)) % RING
            group = tl.load(column[3] + where[:, None] * DIM + channel)
            write_group(column, group.to(tl.float32), at - GROUP + 1, LAYOUT, DIM)
    else:
        one = tl.zeros([1], tl.int64) + at
        write(column, own.to(tl.float32)[None, :], one, one >= 0, LAYOUT, DIM)


@triton.jit
def append_token(
    keys,
    values,
    positions,
    mass,
    rank,
    lengths,
    queries,
    page_min,
    page_max,
    query,
    key,
    value,
    position,
    active,
    read,
    key_column,
    turned_key,
    value_column,
    turned_value,
    noted,
    notes,
    num_slots,
    num_pages,
    key_row,
    key_head,
    value_row,
    value_head,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    NOTES: tl.constexpr,
    GROUPS: tl.constexpr,
    DIM: tl.constexpr,
    MASS: tl.constexpr,
    RANK: tl.constexpr,
    WINDOW: tl.constexpr,
    PAGE: tl.constexpr,
    MEMBERS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    begin()
    row = tl.program_id(1).to(tl.int64)
    pair = row * tl.num_programs(0) + tl.program_id(0)
    length, grows = tl.load(lengths + pair), tl.load(active + row)
    place = tl.load(position + row)
    slot = tl.minimum(length, num_slots - 1 + grows)  # an idle row that is full has no other than its last
    at = pair * num_slots + slot
    channel = tl.arange(0, CHANNELS)
    inside = channel < DIM
    head = tl.program_id(0)
    own_key = tl.load(key + row * key_row + head * key_head + channel, mask=inside)
    own_value = tl.load(value + row * value_row + head * value_head + channel, mask=inside)
    # read before anything is written, since a compiler cannot know that these do not overlap
    if KEYS is not None:
        coming_key = tl.load(turned_key + pair * DIM + tl.arange(0, DIM))
    if VALUES is not None:
        coming_value = tl.load(turned_value + pair * DIM + tl.arange(0, DIM))
    if KEYS is None:
        tl.store(keys + at * DIM + channel, own_key, mask=inside)
    else:
        store_packed(key_column, coming_key, pair, at, place, KEYS, DIM)
    if VALUES is None:
        tl.store(values + at * DIM + channel, own_value, mask=inside)
    else:
        store_packed(value_column, coming_value, pair, at, place, VALUES, DIM)
    for note in tl.static_range(NOTES):
        tl.store(noted + at * NOTES + note, tl.load(notes + pair * NOTES + note))
    tl.store(positions + at, place.to(tl.int32))
    if MASS:
        tl.store(mass + at, 0.0)
    if RANK:  # a position is above every place of a survivor, so a new token comes last
        tl.store(rank + at, place.to(tl.int32))
    if WINDOW:
        member = tl.arange(0, MEMBERS)[:, None]
        several = (member < GROUPS) & inside
        member = pair * GROUPS + member
        own_query = tl.load(query + member * DIM + channel, mask=several)
        tl.store(queries + (member * WINDOW + place % WINDOW) * DIM + channel, own_query, mask=several)
    if PAGE:
        bound = (pair * num_pages + slot // PAGE) * DIM + channel
        first = slot % PAGE == 0
        low = tl.minimum(tl.load(page_min + bound, mask=inside), own_key)
        high = tl.maximum(tl.load(page_max + bound, mask=inside), own_key)
        tl.store(page_min + bound, tl.where(first, own_key, low), mask=inside)
        tl.store(page_max + bound, tl.where(first, own_key, high), mask=inside)
    tl.debug_barrier()  # every thread has read the length before one of them changes it
    tl.store(read + pair, slot + 1)
    tl.store(lengths + pair, length + grows)
