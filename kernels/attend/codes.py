# pyright: reportCallIssue=false, reportOperatorIssue=false, reportArgumentType=false, reportPossiblyUnboundVariable=false
"""Decode attention over codes, for queries of half precision: both products in float16, whatever the model's dtype.

Nothing is multiplied by a scale before it is summed. That of a key comes to its logit; that of a value to the weight
it is summed with, as a summand of the logit, so that the largest product of both is 1 and float16 holds them all; out
of the sum of weights it is taken again. Slots are rows of the first product and channels rows of the second, of which
tensor cores take 16 at least, and queries columns, of which they take 8.

The legend of `kernel.py`.
"""

import math

import triton
import triton.language as tl

from ..overlap import ON, begin
from ..pack.half import LEAST, halves, load_halves, load_scales
from ..pack.kernel import FLOAT8

LOWEST = tl.constexpr(-1e30)  # finite: an empty split must not make NaN of inf - inf
LOG2E = tl.constexpr(1 / math.log(2))
SHARE = tl.constexpr(2.0**-4)  # of a query, so that float16 holds those of bfloat16 up to 10 ** 6


@triton.jit
def attend_codes(
    query,
    keys,
    values,
    lengths,
    pages,
    bias,
    parts,
    part_lse,
    row_stride,
    head_stride,
    num_listed,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    LISTS: tl.constexpr,
    SHARING: tl.constexpr,
    PER_HEAD: tl.constexpr,
    PAGE: tl.constexpr,
    SCALE: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    SPLIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What `attend_split` does."""
    begin()
    split, one, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    pair = row * (LISTS // PER_HEAD) + one // PER_HEAD
    length = tl.load(lengths + pair)
    end = num_listed if PAGE else length
    if split * SPLIT < end:
        lane, place = tl.arange(0, TILE), tl.arange(0, BLOCK)
        asked = query + ((row * LISTS + one) * SHARING + lane)[:, None] * DIM
        channels = halves(KEYS, DIM)
        own = load_query(asked + channels[0], lane < SHARING), load_query(asked + channels[1], lane < SHARING)
        top = tl.full([TILE], LOWEST, tl.float32)
        total = tl.zeros([BLOCK, TILE], tl.float32)
        output = tl.zeros([DIM // 2, TILE], tl.float32), tl.zeros([DIM // 2, TILE], tl.float32)
        for start in range(split * SPLIT, tl.minimum(split * SPLIT + SPLIT, end), BLOCK):
            slot = start + place
            live = slot < end
            if PAGE:
                listed = pages + (row * LISTS + one) * (num_listed // PAGE)
                number = tl.load(listed + slot // PAGE, mask=live, other=-1)
                slot = number * PAGE + slot % PAGE
                live = (number >= 0) & (slot < length)
            slot = tl.where(live, slot, 0)  # what is read there does not count; beyond the last head there is nothing
            at = pair * (head_stride // DIM) + slot
            key = load_halves(keys, at, None, False, KEYS, DIM)
            logits = tl.dot(key[1], own[1], tl.dot(key[0], own[0])) * (SCALE * LOG2E / SHARE)
            if KEYS[0] == FLOAT8:
                logits *= load_scales(keys, at)[:, None]
            if bias is not None:
                logits += (tl.load(bias + at, mask=live, other=0.0) * LOG2E)[:, None]
            if VALUES[0] == FLOAT8:
                factor = tl.where(live, load_scales(values, at), 1.0)
                lift = log2(tl.where(factor == 0, LEAST, factor))
                logits += lift[:, None]
            logits = tl.where(live[:, None], logits, LOWEST)
            before = top
            top = tl.maximum(before, tl.max(logits, 0))
            shrink = tl.exp2(before - top)[None, :]
            weights = tl.where(live[:, None], tl.exp2(logits - top[None, :]), 0.0)
            if VALUES[0] == FLOAT8:
                total = total * shrink + weights * tl.exp2(-lift)[:, None]
            else:
                total = total * shrink + weights
            value, weights = load_halves(values, at, live, True, VALUES, DIM), weights.to(tl.float16)
            output = (
                tl.dot(tl.trans(value[0]), weights, output[0] * shrink),
                tl.dot(tl.trans(value[1]), weights, output[1] * shrink),
            )
        part = ((row * LISTS + one) * tl.num_programs(0) + split) * SHARING + lane
        total, channels = tl.sum(total, 0), halves(VALUES, DIM)
        store_part(parts, part, lane < SHARING, channels[0], tl.trans(output[0]), total, DIM)
        store_part(parts, part, lane < SHARING, channels[1], tl.trans(output[1]), total, DIM)
        store_lse(part_lse, part, lane < SHARING, top, total)


@triton.jit
def load_query(at, there):
    """[D / 2, TILE]"""
    return tl.trans((tl.load(at, mask=there[:, None], other=0.0).to(tl.float32) * SHARE).to(tl.float16))


@triton.jit
def log2(number):
    """In one instruction."""
    if ON:
        return tl.inline_asm_elementwise("lg2.approx.f32 $0, $1;", "=r,r", [number], tl.float32, is_pure=True, pack=1)
    return tl.log2(number)


@triton.jit
def store_part(parts, part, there, channel, output, total, DIM: tl.constexpr):
    """Channels [C] of a split's queries [TILE]: sums [TILE, C] over total."""
    mean = output / tl.where(total == 0, 1.0, total)[:, None]
    tl.store(parts + part[:, None] * DIM + channel, mean, mask=there[:, None])


@triton.jit
def store_lse(part_lse, part, there, top, total):
    """To base e, of a total at 2 ** top."""
    lse = (top + tl.log2(tl.where(total == 0, 1.0, total))) / LOG2E
    tl.store(part_lse + part, tl.where(total == 0, LOWEST, lse), mask=there)
