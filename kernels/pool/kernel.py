# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false, reportOperatorIssue=false
"""Pooling over neighbours in Triton: a program a line of scores, without a sort.

No two candidates are alike, so a bit for each place that may be taken says all: a slot's rank is the number of bits
below its own.

B rows, H KV heads, W window, N slots.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 2048  # slots at a time
WORDS = 2048  # of 32 places that are marked at a time


def pool(score: Tensor, order: Tensor, candidates: Tensor, width: int, most: bool) -> Tensor:
    rows, heads, slots = order.shape
    window = score[0, 0, ..., 0].numel()
    pooled = torch.empty_like(score, dtype=torch.float32, memory_format=torch.contiguous_format)
    pool_line[window, heads, rows](
        score.float().contiguous(),
        order.contiguous(),
        candidates.contiguous(),
        pooled,
        order.new_empty(rows, heads, window, 2, WORDS, dtype=torch.int32),
        order.new_empty(rows, heads, window, slots, dtype=torch.int32),
        pooled.new_empty(rows, heads, window, 2, slots),
        slots,
        WIDTH=width,
        MOST=most,
        BLOCK=BLOCK,
        WORDS=WORDS,
        num_warps=16,
    )
    return pooled


@triton.jit
def num_bits(word):
    """Of uint32, as int32."""
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    return ((word * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def load_places(order, candidates, slot, num_slots):
    """-1 of a slot that is no candidate."""
    counts = tl.load(candidates + slot, mask=slot < num_slots, other=0) != 0
    return tl.load(order + slot, mask=counts, other=-1)


@triton.jit
def mark(order, candidates, marks, start, num_slots, BLOCK: tl.constexpr, WORDS: tl.constexpr):
    """Set the bits of the places from `start` on, and note how many lie before each word; how many they are."""
    word = tl.arange(0, WORDS)
    tl.store(marks + word, 0)
    tl.debug_barrier()  # what one thread has stored others change, then load
    for first in range(0, num_slots, BLOCK):
        place = load_places(order, candidates, first + tl.arange(0, BLOCK), num_slots)
        here = (place >= start) & (place < start + 32 * WORDS)
        tl.atomic_or(marks + ((place - start) >> 5), 1 << (place & 31), mask=here, sem="relaxed")
    tl.debug_barrier()
    # past the cache of a processor, which atomics do not see
    number = num_bits(tl.load(marks + word, cache_modifier=".cg").to(tl.uint32, bitcast=True))
    tl.store(marks + WORDS + word, tl.cumsum(number, 0) - number)
    tl.debug_barrier()
    return tl.sum(number, 0)


@triton.jit
def pool_line(
    score,
    order,
    candidates,
    pooled,
    marks,
    ranks,
    lines,
    num_slots,
    WIDTH: tl.constexpr,
    MOST: tl.constexpr,
    BLOCK: tl.constexpr,
    WORDS: tl.constexpr,
):
    pair = tl.program_id(2).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    line, slot = pair * tl.num_programs(0) + tl.program_id(0), tl.arange(0, BLOCK)
    order, candidates, marks = order + pair * num_slots, candidates + pair * num_slots, marks + line * 2 * WORDS
    score, pooled, ranks = score + line * num_slots, pooled + line * num_slots, ranks + line * num_slots
    lines += line * 2 * num_slots
    greatest = tl.full([BLOCK], -1, tl.int32)
    for first in range(0, num_slots, BLOCK):
        greatest = tl.maximum(greatest, load_places(order, candidates, first + slot, num_slots))
    total = tl.full([], 0, tl.int32)
    for start in range(0, tl.max(greatest, 0) + 1, 32 * WORDS):
        number = mark(order, candidates, marks, start, num_slots, BLOCK, WORDS)
        for first in range(0, num_slots, BLOCK):
            place = load_places(order, candidates, first + slot, num_slots)
            here, at = (place >= start) & (place < start + 32 * WORDS), marks + ((place - start) >> 5)
            below = tl.load(at, mask=here, other=0, cache_modifier=".cg") & ((1 << (place & 31)) - 1)
            rank = total + tl.load(at + WORDS, mask=here, other=0) + num_bits(below.to(tl.uint32, bitcast=True))
            tl.store(ranks + first + slot, rank, mask=here)
            tl.store(lines + rank, tl.load(score + first + slot, mask=here, other=0.0), mask=here)
        total += number
        tl.debug_barrier()
    for first in range(0, total, BLOCK):
        result = tl.zeros([BLOCK], tl.float32)
        for step in tl.static_range(WIDTH):
            near = first + slot + step - WIDTH // 2
            beside = tl.load(lines + near, mask=(near >= 0) & (near < total), other=0.0)
            result = tl.maximum(result, beside) if MOST else result + beside
        if not MOST:
            result = tl.div_rn(result, tl.full([BLOCK], WIDTH, tl.float32))
        tl.store(lines + num_slots + first + slot, result, mask=first + slot < total)
    tl.debug_barrier()
    for first in range(0, num_slots, BLOCK):
        counts = load_places(order, candidates, first + slot, num_slots) >= 0
        rank = tl.load(ranks + first + slot, mask=counts, other=0)
        own = tl.load(lines + num_slots + rank, mask=counts, other=0.0)
        tl.store(pooled + first + slot, own, mask=first + slot < num_slots)
