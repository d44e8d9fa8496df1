# pyright: reportCallIssue=false, reportOperatorIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
"""What scores are made of, in Triton: keys and values are read once a pass and never copied or widened in memory.

Sums over slots run in a fixed order, so a row's result depends neither on its neighbours nor on the capacity.

B rows, H KV heads, G query heads per KV head, N slots, W window, D head dim, R rank of a projection, C splits.
"""

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attend.kernel import LOG2E, LOWEST, check_head_dim
from ..overlap import OVERLAP, begin
from ..pack.kernel import column, layout, load_columns, load_rows, turned

if TYPE_CHECKING:
    from ..pack import Stored

BLOCK = 64  # slots at a time
FEW = 1024  # vectors, such as those of a step, of which every program takes few
FIRST = dict(TILE=64, BLOCK=128, num_warps=4, num_stages=1)  # pass of the window attention: queries, slots at a time
SECOND = dict(TILE=64, BLOCK=128, num_warps=4, num_stages=2)
NARROW = dict(TILE=64, BLOCK=64, num_warps=4, num_stages=2)  # both passes, where keys are wide: float32, D = 256
SPLIT = 256  # slots whose unit vectors one program sums
JOINED = 16  # splits at a time


def mean_softmax(queries: Tensor, keys: "Stored", support: Tensor, scale: float | None = None) -> Tensor:
    """Two passes over the keys: the norm of each query's softmax, then every slot's share, summed over queries."""
    rows, heads, groups, window, dim = queries.shape
    slots, num_queries = keys.shape[2], groups * window
    check_head_dim(dim)
    queries, own, support = (
        turned(queries.flatten(2, 3), keys).contiguous(),
        column(keys.contiguous()),
        support.contiguous(),
    )
    first, second = (FIRST, SECOND) if keys.dtype.itemsize * dim <= 256 else (NARROW, NARROW)
    sizes = dict(QUERIES=num_queries, WINDOW=support.shape[2], SCALE=dim**-0.5 if scale is None else scale, DIM=dim)
    blocks = triton.cdiv(slots, first["BLOCK"])
    parts = torch.empty(rows, heads, blocks, num_queries, dtype=torch.float32, device=keys.device)
    lse = torch.empty(rows, heads, num_queries, dtype=torch.float32, device=keys.device)
    score = torch.empty(rows, heads, slots, dtype=torch.float32, device=keys.device)
    norms[blocks, heads, rows](queries, own, support, parts, slots, **sizes, KEYS=layout(keys), **first)
    join_norms[triton.cdiv(num_queries, BLOCK), rows * heads](
        parts, lse, blocks, QUERIES=num_queries, TILE=BLOCK, JOINED=JOINED, num_warps=4
    )
    shares[triton.cdiv(slots, second["BLOCK"]), heads, rows](
        queries, own, support, lse, score, slots, **sizes, KEYS=layout(keys), **second
    )
    return score


def mean_cosine(keys: "Stored", support: Tensor) -> Tensor:
    rows, heads, slots, dim = keys.shape
    check_head_dim(dim)
    own, stored, support = column(keys.contiguous()), layout(keys), support.contiguous()
    splits = triton.cdiv(slots, SPLIT)
    sums = torch.empty(rows, heads, splits, dim, dtype=torch.float32, device=keys.device)
    counts = torch.empty(rows, heads, splits, dtype=torch.int32, device=keys.device)
    score = torch.empty(rows, heads, slots, dtype=torch.float32, device=keys.device)
    sizes = dict(KEYS=stored, DIM=dim, SPLIT=SPLIT, BLOCK=BLOCK, num_warps=4)
    sum_units[splits, heads, rows](own, support, sums, counts, slots, **sizes)
    mean_of_cosines[splits, heads, rows](own, support, sums, counts, score, slots, JOINED=JOINED, **sizes)
    return score


def leverage(keys: "Stored", values: "Stored", projection: Tensor) -> Tensor:
    rows, heads, slots, dim = keys.shape
    rank = projection.shape[-1]
    check_head_dim(dim)
    score = torch.empty(rows, heads, slots, dtype=torch.float32, device=keys.device)
    projected_norms[triton.cdiv(slots, BLOCK), heads, rows](
        column(keys.contiguous()),
        column(values.contiguous()),
        *(turned(projection.mT, own).mT.expand(rows, heads, dim, rank).contiguous() for own in (keys, values)),
        score,
        slots,
        KEYS=layout(keys),
        VALUES=layout(values),
        ALIKE=isinstance(keys, Tensor) and isinstance(values, Tensor),
        RANK=rank,
        DIM=dim,
        WIDTH=max(16, triton.next_power_of_2(rank)),
        BLOCK=BLOCK,
        num_warps=4,
    )
    return score


def value_range(values: Tensor) -> Tensor:
    dim, num = values.shape[-1], values.shape[:-1].numel()
    out = torch.empty(values.shape[:-1], dtype=torch.float32, device=values.device)
    block = BLOCK if num > FEW else 4
    ranges[triton.cdiv(num, block),](
        values.contiguous(),
        out,
        num,
        DIM=dim,
        CHANNELS=triton.next_power_of_2(dim),
        BLOCK=block,
        num_warps=4,
        **OVERLAP,  # a step notes that of its token
    )
    return out


@triton.jit
def load_queries(queries, pair, query, QUERIES: tl.constexpr, DIM: tl.constexpr):
    at = (pair * QUERIES + query)[:, None] * DIM + tl.arange(0, DIM)
    return tl.load(queries + at, mask=(query < QUERIES)[:, None], other=0.0)


@triton.jit
def supported(support, pair, query, slot, num_slots, WINDOW: tl.constexpr):
    """Which slots count: for each query, or, [1, BLOCK], for all of a support that has no window."""
    inside = slot < num_slots
    if WINDOW == 1:
        counts = (tl.load(support + pair * num_slots + slot, mask=inside, other=0) != 0)[None, :]
    else:
        at = (pair * WINDOW + query % WINDOW)[:, None] * num_slots + slot[None, :]
        counts = tl.load(support + at, mask=inside[None, :], other=0) != 0
    return counts


@triton.jit
def norms(
    queries,
    keys,
    support,
    parts,
    num_slots,
    QUERIES: tl.constexpr,
    WINDOW: tl.constexpr,
    SCALE: tl.constexpr,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Log-sum-exp to base 2 of all queries of one KV head, over one block of slots; LOWEST where none counts."""
    block, row = tl.program_id(0), tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + tl.program_id(1)
    slot = block * BLOCK + tl.arange(0, BLOCK)
    base, inside = pair * num_slots * DIM, slot < num_slots
    key = load_columns(keys, base, pair, row, slot, inside, num_slots, queries.dtype.element_ty, KEYS, DIM)
    parts += (pair * tl.num_programs(0) + block) * QUERIES
    for tile in range(0, QUERIES, TILE):
        query = tile + tl.arange(0, TILE)
        products = tl.dot(load_queries(queries, pair, query, QUERIES, DIM), key, input_precision="ieee")
        products = tl.where(supported(support, pair, query, slot, num_slots, WINDOW), products, LOWEST)
        top = tl.max(products, 1)
        total = tl.sum(tl.exp2(products * (SCALE * LOG2E) - (top * (SCALE * LOG2E))[:, None]), 1)
        lse = tl.where(top == LOWEST, LOWEST, top * (SCALE * LOG2E) + tl.log2(total))
        tl.store(parts + query, lse, mask=query < QUERIES)


@triton.jit
def join_norms(parts, lse, num_parts, QUERIES: tl.constexpr, TILE: tl.constexpr, JOINED: tl.constexpr):
    """Log-sum-exp over all blocks; -LOWEST where none counts: of such a query no slot gets a share."""
    pair = tl.program_id(1).to(tl.int64)
    query = tl.program_id(0) * TILE + tl.arange(0, TILE)
    there = query < QUERIES
    top = tl.full([TILE], LOWEST / 2, tl.float32)  # above what does not count, whose weight is 0 then
    total = tl.zeros([TILE], tl.float32)
    for start in range(0, num_parts, JOINED):
        part = start + tl.arange(0, JOINED)
        at = (pair * num_parts + part)[:, None] * QUERIES + query
        here = tl.load(parts + at, mask=(part < num_parts)[:, None] & there, other=LOWEST)
        before = top
        top = tl.maximum(before, tl.max(here, 0))
        total = total * tl.exp2(before - top) + tl.sum(tl.exp2(here - top), 0)
    empty = total == 0
    tl.store(lse + pair * QUERIES + query, tl.where(empty, -LOWEST, top + tl.log2(tl.where(empty, 1.0, total))), there)


@triton.jit
def shares(
    queries,
    keys,
    support,
    lse,
    score,
    num_slots,
    QUERIES: tl.constexpr,
    WINDOW: tl.constexpr,
    SCALE: tl.constexpr,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Mean probability of one block of slots; a support that has no window is asked once, when all is summed."""
    row = tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + tl.program_id(1)
    slot = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    base, inside = pair * num_slots * DIM, slot < num_slots
    key = load_columns(keys, base, pair, row, slot, inside, num_slots, queries.dtype.element_ty, KEYS, DIM)
    total = tl.zeros([TILE, BLOCK], tl.float32)
    for tile in range(0, QUERIES, TILE):
        query = tile + tl.arange(0, TILE)
        products = tl.dot(load_queries(queries, pair, query, QUERIES, DIM), key, input_precision="ieee")
        # a query that is not there: no share
        norm = tl.load(lse + pair * QUERIES + query, mask=query < QUERIES, other=-LOWEST)
        share = tl.exp2(products * (SCALE * LOG2E) - norm[:, None])
        if WINDOW > 1:
            share = tl.where(supported(support, pair, query, slot, num_slots, WINDOW), share, 0.0)
        total += share
    mean = tl.sum(total, 0) / QUERIES
    if WINDOW == 1:
        counts = tl.load(support + pair * num_slots + slot, mask=inside, other=0) != 0
        mean = tl.where(counts, mean, 0.0)
    tl.store(score + pair * num_slots + slot, mean, mask=inside)


@triton.jit
def keys_and_support(keys, support, pair, row, slot, num_slots, KEYS: tl.constexpr, DIM: tl.constexpr):
    """Keys [BLOCK, D] float32, and which of them count."""
    inside = slot < num_slots
    # not those that count alone: keys need not wait for the support
    key = load_rows(keys, pair * num_slots * DIM, pair, row, slot, inside, num_slots, tl.float32, KEYS, DIM)
    counts = tl.load(support + pair * num_slots + slot, mask=inside, other=0) != 0
    return key.to(tl.float32), counts


@triton.jit
def shrink(squared):
    """What makes a vector of a squared norm a unit vector."""
    return 1.0 / (tl.sqrt(squared) + 1e-8)


@triton.jit
def sum_units(
    keys,
    support,
    sums,
    counts,
    num_slots,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    SPLIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    split, row = tl.program_id(0), tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + tl.program_id(1)
    total, count = tl.zeros([BLOCK, DIM], tl.float32), tl.zeros([BLOCK], tl.int32)
    for start in tl.range(split * SPLIT, split * SPLIT + SPLIT, BLOCK, num_stages=3):
        slot = start + tl.arange(0, BLOCK)
        key, here = keys_and_support(keys, support, pair, row, slot, num_slots, KEYS, DIM)
        key = tl.where(here[:, None], key, 0.0)
        total += key * shrink(tl.sum(key * key, 1))[:, None]
        count += here.to(tl.int32)
    part = pair * tl.num_programs(0) + split
    tl.store(sums + part * DIM + tl.arange(0, DIM), tl.sum(total, 0))
    tl.store(counts + part, tl.sum(count, 0))


@triton.jit
def mean_of_cosines(
    keys,
    support,
    sums,
    counts,
    score,
    num_slots,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    SPLIT: tl.constexpr,
    JOINED: tl.constexpr,
):
    """A unit vector times the sum of all, but for itself."""
    split, row, channel = tl.program_id(0), tl.program_id(2).to(tl.int64), tl.arange(0, DIM)
    pair, num_splits = row * tl.num_programs(1) + tl.program_id(1), tl.num_programs(0)
    total, count = tl.zeros([DIM], tl.float32), tl.zeros([JOINED], tl.int32)
    for start in range(0, num_splits, JOINED):
        part = start + tl.arange(0, JOINED)
        there, part = part < num_splits, pair * num_splits + part
        total += tl.sum(tl.load(sums + part[:, None] * DIM + channel, mask=there[:, None], other=0.0), 0)
        count += tl.load(counts + part, mask=there, other=0)
    share = 1.0 / tl.sum(count, 0)
    for start in tl.range(split * SPLIT, split * SPLIT + SPLIT, BLOCK, num_stages=3):
        slot = start + tl.arange(0, BLOCK)
        key, here = keys_and_support(keys, support, pair, row, slot, num_slots, KEYS, DIM)
        squared = tl.sum(key * key, 1)
        unit = shrink(squared)
        cosine = tl.where(here, (tl.sum(key * total, 1) - squared * unit) * unit, 0.0)
        tl.store(score + pair * num_slots + slot, cosine * share, mask=slot < num_slots)


@triton.jit
def projected(own, gauss):
    """Squared norms [BLOCK] of projected vectors.

    The projection is given as the sum of two numbers of the vectors' dtype, so that nothing of it is lost.
    """
    high = gauss.to(own.dtype)
    low = (gauss - high.to(tl.float32)).to(own.dtype)
    seen = tl.dot(own, high, input_precision="ieee")
    seen = tl.dot(own, low, seen, input_precision="ieee")
    return tl.sum(seen * seen, 1)


@triton.jit
def projected_norms(
    keys,
    values,
    key_projection,
    value_projection,
    score,
    num_slots,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    ALIKE: tl.constexpr,
    RANK: tl.constexpr,
    DIM: tl.constexpr,
    WIDTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + tl.program_id(1)
    slot, channel, axis = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, DIM), tl.arange(0, WIDTH)
    inside = slot < num_slots
    at = (pair * DIM + channel)[:, None] * RANK + axis[None, :]
    gauss = tl.load(key_projection + at, mask=(axis < RANK)[None, :], other=0.0)
    base = pair * num_slots * DIM
    norm = projected(load_rows(keys, base, pair, row, slot, inside, num_slots, tl.float32, KEYS, DIM), gauss)
    if not ALIKE:
        gauss = tl.load(value_projection + at, mask=(axis < RANK)[None, :], other=0.0)
    norm *= projected(load_rows(values, base, pair, row, slot, inside, num_slots, tl.float32, VALUES, DIM), gauss)
    tl.store(score + pair * num_slots + slot, norm, mask=inside)


@triton.jit
def ranges(values, out, num, DIM: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    begin()
    place, channel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, CHANNELS)
    inside = (place < num)[:, None] & (channel < DIM)[None, :]
    own = tl.load(values + place[:, None] * DIM + channel, mask=inside, other=0.0)
    most = tl.max(tl.where(inside, own.to(tl.float32), float("-inf")), 1)
    least = tl.min(tl.where(inside, own.to(tl.float32), float("inf")), 1)
    tl.store(out + place, (most - least).to(own.dtype).to(tl.float32), mask=place < num)
