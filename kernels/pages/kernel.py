# pyright: reportCallIssue=false, reportGeneralTypeIssues=false
"""Pages in Triton: one pass over the bounds, then a program a list that chooses from its scores.

The threshold of rank `count` is found bit by bit, as an eviction finds its victims: no sort, and equal scores fall the
same way every time. Both grids are those of the capacity, so lengths may change under a CUDA graph.

B rows, H KV heads, G query heads per KV head, N slots, P pages, D head dim, S pages chosen, L lists a row (H, or H G
where each query head has its own), A P rounded up to a power of two.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attend.kernel import check_head_dim
from ..evict.kernel import ABOVE_ALL, bound_of_rank, num_warps, rising

BLOCK = 64  # pages a program scores
BOUND = 16  # pages whose bounds a program finds


def score(
    query: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, page: int, per_query_head: bool
) -> Tensor:
    query = query.contiguous()
    return bound_scores(query, query, page_min, page_max, lengths, page, per_query_head, by_sign=True)


def products(low: Tensor, high: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, page: int) -> Tensor:
    return bound_scores(low, high, page_min, page_max, lengths, page, per_query_head=True, by_sign=False)


def bound_scores(
    low: Tensor,
    high: Tensor,
    page_min: Tensor,
    page_max: Tensor,
    lengths: Tensor,
    page: int,
    per_query_head: bool,
    by_sign: bool,
) -> Tensor:
    """`by_sign`: both are one query, whose negative channels take the least key."""
    rows, heads, groups, dim = high.shape
    num_pages = page_min.shape[2]
    check_head_dim(dim)
    assert page_min.is_contiguous()
    assert page_max.is_contiguous()
    shape = (rows, heads, groups, num_pages) if per_query_head else (rows, heads, num_pages)
    scores = high.new_empty(shape, dtype=torch.float32)
    score_pages[triton.cdiv(num_pages, BLOCK), heads, rows](
        low.contiguous(),
        high.contiguous(),
        page_min,
        page_max,
        lengths.contiguous(),
        scores,
        num_pages,
        GROUPS=groups,
        PER_QUERY_HEAD=per_query_head,
        BY_SIGN=by_sign,
        PAGE=page,
        DIM=dim,
        TILE=max(16, triton.next_power_of_2(groups)),
        BLOCK=BLOCK,
        num_warps=4,
    )
    return scores


def live_bounds(keys: Tensor, lengths: Tensor, page: int) -> tuple[Tensor, Tensor]:
    rows, heads, slots, dim = keys.shape
    num_pages = triton.cdiv(slots, page)
    low, high = keys.new_empty(2, rows, heads, num_pages, dim).unbind()
    bound_pages[triton.cdiv(num_pages, BOUND), heads, rows](
        keys.contiguous(),
        lengths.contiguous(),
        low,
        high,
        slots,
        num_pages,
        PAGE=page,
        DIM=dim,
        BLOCK=BOUND,
        CHANNELS=triton.next_power_of_2(dim),
        num_warps=4,
    )
    return low, high


def top(scores: Tensor, lengths: Tensor, page: int, count: int, newest: bool = True) -> Tensor:
    rows, heads, *members, num_pages = scores.shape
    per_head, count = members[0] if members else 1, min(count, num_pages)
    chosen = scores.new_empty(*scores.shape[:-1], count, dtype=torch.int32)
    choose_top[heads * per_head, rows](
        scores.contiguous(),
        lengths.contiguous(),
        chosen,
        num_pages,
        PER_HEAD=per_head,
        PAGE=page,
        COUNT=count,
        NEWEST=newest,
        PLACES=triton.next_power_of_2(count),
        AREA=triton.next_power_of_2(num_pages),
        num_warps=num_warps(num_pages),
    )
    return chosen


@triton.jit
def score_pages(
    low_query,
    high_query,
    page_min,
    page_max,
    lengths,
    scores,
    num_pages,
    GROUPS: tl.constexpr,
    PER_QUERY_HEAD: tl.constexpr,
    BY_SIGN: tl.constexpr,
    PAGE: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of pages of one KV head; bounds are read once for all of its query heads."""
    block, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + head
    lane, channel, page = tl.arange(0, TILE), tl.arange(0, DIM), block * BLOCK + tl.arange(0, BLOCK)
    there, last = (lane < GROUPS)[:, None], tl.maximum(tl.load(lengths + pair) - 1, 0) // PAGE
    bound = tl.full([TILE, BLOCK], float("-inf"), tl.float32)
    if block * BLOCK <= last:
        live = (page <= last)[None, :]
        own = (pair * GROUPS + lane)[:, None] * DIM + channel
        to_high = tl.load(high_query + own, mask=there, other=0.0)
        if BY_SIGN:
            to_low, to_high = tl.minimum(to_high, 0.0), tl.maximum(to_high, 0.0)
        else:
            to_low = tl.load(low_query + own, mask=there, other=0.0)
        where = (pair * num_pages + page)[None, :] * DIM + channel[:, None]
        high = tl.load(page_max + where, mask=live, other=0.0)
        low = tl.load(page_min + where, mask=live, other=0.0)
        product = tl.dot(to_high.to(high.dtype), high, input_precision="ieee")
        product += tl.dot(to_low.to(low.dtype), low, input_precision="ieee")
        bound = tl.where(there & live, product, bound)
    inside = page < num_pages
    if PER_QUERY_HEAD:
        at = (pair * GROUPS + lane)[:, None] * num_pages + page
        tl.store(scores + at, bound, mask=there & inside)
    else:
        tl.store(scores + pair * num_pages + page, tl.max(bound, 0), mask=inside)


@triton.jit
def bound_pages(
    keys,
    lengths,
    page_min,
    page_max,
    num_slots,
    num_pages,
    PAGE: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """One block of pages of one KV head, slot by slot of all of them."""
    row = tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + tl.program_id(1)
    page, channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, CHANNELS)
    length = tl.load(lengths + pair)
    low = tl.full([BLOCK, CHANNELS], float("inf"), tl.float32)
    high = tl.full([BLOCK, CHANNELS], float("-inf"), tl.float32)
    for place in tl.static_range(PAGE):
        slot = page * PAGE + place
        there = (slot < length)[:, None] & (channel < DIM)[None, :]
        own = tl.load(keys + (pair * num_slots + slot)[:, None] * DIM + channel, mask=there, other=0.0).to(tl.float32)
        low = tl.where(there, tl.minimum(low, own), low)
        high = tl.where(there, tl.maximum(high, own), high)
    at = (pair * num_pages + page)[:, None] * DIM + channel
    inside = (page < num_pages)[:, None] & (channel < DIM)[None, :]
    live = (page * PAGE < length)[:, None]
    tl.store(page_min + at, tl.where(live, low, 0.0).to(page_min.dtype.element_ty), mask=inside)
    tl.store(page_max + at, tl.where(live, high, 0.0).to(page_max.dtype.element_ty), mask=inside)


@triton.jit
def choose_top(
    scores,
    lengths,
    chosen,
    num_pages,
    PER_HEAD: tl.constexpr,
    PAGE: tl.constexpr,
    COUNT: tl.constexpr,
    NEWEST: tl.constexpr,
    PLACES: tl.constexpr,
    AREA: tl.constexpr,
):
    """The pages of one list, all its scores in registers."""
    own = tl.program_id(1).to(tl.int64) * tl.num_programs(0) + tl.program_id(0)
    last = tl.maximum(tl.load(lengths + own // PER_HEAD) - 1, 0) // PAGE
    page = tl.arange(0, AREA)
    ranked = page < last if NEWEST else page <= last
    falling = ~rising(tl.load(scores + own * num_pages + page, mask=ranked, other=0.0))
    falling = tl.where(ranked, falling, ABOVE_ALL)
    beside = 1 if NEWEST else 0  # the last page, whatever its score
    count = tl.minimum(last + 1, COUNT) - beside
    bound = bound_of_rank(falling, count)
    better, ties = falling < bound, ranked & (falling == bound)
    left = count - tl.sum(better.to(tl.int32), 0)
    reads = better | (ties & (tl.cumsum(ties.to(tl.int32), 0) <= left))
    if NEWEST:
        reads |= page == last
    chosen += own * COUNT
    tl.store(chosen + tl.cumsum(reads.to(tl.int32), 0) - 1, page, mask=reads)
    place = tl.arange(0, PLACES)
    tl.store(chosen + place, -1, mask=(place >= count + beside) & (place < COUNT))
