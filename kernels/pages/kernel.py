# pyright: reportCallIssue=false
"""Quest's pages in Triton: one pass over the bounds, then a program a list that chooses from its scores.

The threshold of rank `count` is found bit by bit, as an eviction finds its victims: no sort, and equal scores fall the
same way every time. Both grids are those of the capacity, so lengths may change under a CUDA graph.

B rows, H KV heads, G query heads per KV head, P pages, D head dim, S pages chosen, L lists a row (H, or H G where each
query head has its own), A P rounded up to a power of two.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attend.kernel import check_head_dim
from ..evict.kernel import num_warps, rising, smallest_of_rank

BLOCK = 64  # pages a program scores


def score(
    query: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, page: int, per_query_head: bool
) -> Tensor:
    rows, heads, groups, dim = query.shape
    num_pages = page_min.shape[2]
    check_head_dim(dim)
    assert page_min.is_contiguous()
    assert page_max.is_contiguous()
    shape = (rows, heads, groups, num_pages) if per_query_head else (rows, heads, num_pages)
    scores = query.new_empty(shape, dtype=torch.float32)
    score_pages[triton.cdiv(num_pages, BLOCK), heads, rows](
        query.contiguous(),
        page_min,
        page_max,
        lengths.contiguous(),
        scores,
        num_pages,
        GROUPS=groups,
        PER_QUERY_HEAD=per_query_head,
        PAGE=page,
        DIM=dim,
        TILE=max(16, triton.next_power_of_2(groups)),
        BLOCK=BLOCK,
        num_warps=4,
    )
    return scores


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
    query,
    page_min,
    page_max,
    lengths,
    scores,
    num_pages,
    GROUPS: tl.constexpr,
    PER_QUERY_HEAD: tl.constexpr,
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
        own = tl.load(query + (pair * GROUPS + lane)[:, None] * DIM + channel, mask=there, other=0.0)
        where = (pair * num_pages + page)[None, :] * DIM + channel[:, None]
        high = tl.load(page_max + where, mask=live, other=0.0)
        low = tl.load(page_min + where, mask=live, other=0.0)
        product = tl.dot(tl.maximum(own, 0.0).to(high.dtype), high, input_precision="ieee")
        product += tl.dot(tl.minimum(own, 0.0).to(low.dtype), low, input_precision="ieee")
        bound = tl.where(there & live, product, bound)
    inside = page < num_pages
    if PER_QUERY_HEAD:
        at = (pair * GROUPS + lane)[:, None] * num_pages + page
        tl.store(scores + at, bound, mask=there & inside)
    else:
        tl.store(scores + pair * num_pages + page, tl.max(bound, 0), mask=inside)


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
    beside = 1 if NEWEST else 0  # the last page, whatever its score
    count = tl.minimum(last + 1, COUNT) - beside
    threshold = smallest_of_rank(falling, ranked, count)
    better, ties = ranked & (falling < threshold), ranked & (falling == threshold)
    left = count - tl.sum(better.to(tl.int32), 0)
    reads = better | (ties & (tl.cumsum(ties.to(tl.int32), 0) <= left))
    if NEWEST:
        reads |= page == last
    chosen += own * COUNT
    tl.store(chosen + tl.cumsum(reads.to(tl.int32), 0) - 1, page, mask=reads)
    place = tl.arange(0, PLACES)
    tl.store(chosen + place, -1, mask=(place >= count + beside) & (place < COUNT))
