# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false
"""Eviction in Triton: a program a row and KV head, with all its slots in registers.

The victims are found bit by bit: a bound below which `count` of the scores lie; where scores tie at it, then one of
their positions. No sort, no atomics.

B rows of the cache, R rows that are due, H KV heads, N slots, A N rounded up to a power of two.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

MOVED = 64  # slots at a time
GREATEST = tl.constexpr(torch.finfo(torch.float32).max)
ABOVE_ALL = tl.constexpr(2**32 - 1)  # what no score and no position is


def lowest(score: Tensor, positions: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    rows, heads, slots = score.shape
    chosen = torch.empty_like(score, dtype=torch.bool, memory_format=torch.contiguous_format)
    choose_lowest[heads, rows](
        score.float().contiguous(),
        positions.contiguous(),
        eligible.contiguous(),
        count.contiguous(),
        chosen,
        slots,
        COUNTS=1 if count.dim() == 1 else heads,
        AREA=triton.next_power_of_2(slots),
        num_warps=num_warps(slots),
    )
    return chosen


def compact(columns: Sequence[Tensor], lengths: Tensor, rows: Tensor, keep: Tensor) -> None:
    due, heads, slots = keep.shape
    check_columns(columns, lengths)
    close_ranks[heads, due](
        tuple(columns),
        lengths,
        rows,
        keep.contiguous(),
        keep.new_empty(due, heads, 2, slots, dtype=torch.int32),
        slots,
        WIDTHS=widths(columns),
        AREA=triton.next_power_of_2(slots),
        MOVED=MOVED,
        num_warps=num_warps(slots),
    )


def drop(
    columns: Sequence[Tensor],
    lengths: Tensor,
    rows: Tensor,
    score: Tensor,
    positions: Tensor,
    evictable: Tensor,
    excess: Tensor,
) -> None:
    due, heads, slots = score.shape
    check_columns(columns, lengths)
    drop_lowest[heads, due](
        tuple(columns),
        lengths,
        rows,
        score.float().contiguous(),
        positions.contiguous(),
        evictable.contiguous(),
        excess.contiguous(),
        score.new_empty(due, heads, 2, slots, dtype=torch.int32),
        slots,
        WIDTHS=widths(columns),
        COUNTS=1 if excess.dim() == 1 else heads,
        AREA=triton.next_power_of_2(slots),
        MOVED=MOVED,
        num_warps=num_warps(slots),
    )


def check_columns(columns: Sequence[Tensor], lengths: Tensor) -> None:
    assert lengths.is_contiguous()
    assert all(column.is_contiguous() for column in columns)


def widths(columns: Sequence[Tensor]) -> tuple[int, ...]:
    """Numbers a slot."""
    return tuple(column[0, 0, 0].numel() for column in columns)


def num_warps(slots: int) -> int:
    """Of 32 slots a thread, where there are so many."""
    return min(32, max(4, triton.next_power_of_2(slots) // 1024))


@triton.jit
def lowest_slots(score, position, eligible, count):
    """[A] bool: as `lowest`, of one row and head."""
    key = tl.where(eligible, rising(score), ABOVE_ALL)
    count = tl.minimum(count, tl.sum(eligible.to(tl.int32), 0))
    bound = bound_of_rank(key, count)
    victims = key < bound
    left = count - tl.sum(victims.to(tl.int32), 0)
    if left > 0:
        place = tl.where(key == bound, position.to(tl.uint32, bitcast=True), ABOVE_ALL)
        bound = bound_of_rank(place, left)
        # whose places differ: one at most lies at the bound itself
        victims |= (place < bound) | ((place == bound) & (tl.sum((place < bound).to(tl.int32), 0) < left))
    return victims


@triton.jit
def rising(score):
    """uint32 in the order of the scores; zeros are equal, NaN and what is infinite the greatest number."""
    score = tl.where(score == score, tl.minimum(score, GREATEST), GREATEST)
    bits = tl.where(score == 0, 0.0, score).to(tl.uint32, bitcast=True)
    return tl.where((bits >> 31) == 1, ~bits, bits | 0x80000000)


@triton.jit
def bound_of_rank(key, rank):
    """A bound, uint32, below which `rank` of the keys lie; where none parts them so, the key of that rank.

    It is found from its top bit down, and as a rule some bits are enough.
    """
    found, bit = tl.full([], 0, tl.uint32), tl.full([], 1 << 31, tl.uint32)
    number = tl.full([], -1, tl.int32)
    while (bit > 0) & (number != rank):
        number = tl.sum((key < (found | bit)).to(tl.int32), 0)
        found = tl.where(number <= rank, found | bit, found)
        bit >>= 1
    return found


@triton.jit
def move_survivors(
    columns,
    lengths,
    pair,
    keep,
    scratch,
    num_slots,
    WIDTHS: tl.constexpr,
    AREA: tl.constexpr,
    MOVED: tl.constexpr,
):
    """Fill the holes below the new length with the survivors beyond it, in order, and store that length."""
    slot = tl.arange(0, AREA)
    remaining = tl.sum(keep.to(tl.int32), 0)
    inside = slot < remaining
    hole, mover = inside & (keep == 0), (inside == 0) & keep
    num_moves = tl.sum(hole.to(tl.int32), 0)
    tl.store(scratch + tl.cumsum(hole.to(tl.int32), 0) - 1, slot, mask=hole)
    tl.store(scratch + num_slots + tl.cumsum(mover.to(tl.int32), 0) - 1, slot, mask=mover)
    tl.debug_barrier()  # what one thread has stored the others load
    for start in range(0, num_moves, MOVED):
        index = start + tl.arange(0, MOVED)
        listed = index < num_moves
        target = pair * num_slots + tl.load(scratch + index, mask=listed, other=0)
        source = pair * num_slots + tl.load(scratch + num_slots + index, mask=listed, other=0)
        for c in tl.static_range(len(columns)):
            number = tl.arange(0, triton.next_power_of_2(WIDTHS[c]))
            inner = listed[:, None] & (number < WIDTHS[c])
            moved = tl.load(columns[c] + source[:, None] * WIDTHS[c] + number, mask=inner)
            tl.store(columns[c] + target[:, None] * WIDTHS[c] + number, moved, mask=inner)
    tl.store(lengths + pair, remaining)


@triton.jit
def choose_lowest(score, positions, eligible, count, chosen, num_slots, COUNTS: tl.constexpr, AREA: tl.constexpr):
    head, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    slot = tl.arange(0, AREA)
    inside, at = slot < num_slots, (row * tl.num_programs(0) + head) * num_slots + slot
    victims = lowest_slots(
        tl.load(score + at, mask=inside, other=0.0),
        tl.load(positions + at, mask=inside, other=0),
        tl.load(eligible + at, mask=inside, other=0) != 0,
        tl.load(count + row * COUNTS + head % COUNTS),
    )
    tl.store(chosen + at, victims, mask=inside)


@triton.jit
def close_ranks(
    columns,
    lengths,
    rows,
    keep,
    scratch,
    num_slots,
    WIDTHS: tl.constexpr,
    AREA: tl.constexpr,
    MOVED: tl.constexpr,
):
    head, due, heads = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(0)
    row = tl.load(rows + due).to(tl.int64)
    if row >= 0:
        slot = tl.arange(0, AREA)
        own = due * heads + head
        survives = tl.load(keep + own * num_slots + slot, mask=slot < num_slots, other=0) != 0
        scratch += own * 2 * num_slots
        move_survivors(columns, lengths, row * heads + head, survives, scratch, num_slots, WIDTHS, AREA, MOVED)


@triton.jit
def drop_lowest(
    columns,
    lengths,
    rows,
    score,
    positions,
    evictable,
    excess,
    scratch,
    num_slots,
    WIDTHS: tl.constexpr,
    COUNTS: tl.constexpr,
    AREA: tl.constexpr,
    MOVED: tl.constexpr,
):
    head, due, heads = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(0)
    row = tl.load(rows + due).to(tl.int64)
    if row >= 0:
        slot = tl.arange(0, AREA)
        own, pair = due * heads + head, row * heads + head
        inside, at = slot < num_slots, own * num_slots + slot
        victims = lowest_slots(
            tl.load(score + at, mask=inside, other=0.0),
            tl.load(positions + at, mask=inside, other=0),
            tl.load(evictable + at, mask=inside, other=0) != 0,
            tl.load(excess + due * COUNTS + head % COUNTS),
        )
        keep = (slot < tl.load(lengths + pair)) & (victims == 0)
        scratch += own * 2 * num_slots
        move_survivors(columns, lengths, pair, keep, scratch, num_slots, WIDTHS, AREA, MOVED)
