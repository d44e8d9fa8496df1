# pyright: reportCallIssue=false, reportGeneralTypeIssues=false, reportArgumentType=false
"""Philox-4x32-10 in Triton, and the distributions made of its words in the same launch.

B rows. Counters broadcast to [B, n] or [B, m, n].
"""

import math
from enum import IntEnum

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
TWO_PI = tl.constexpr(2 * math.pi)


class Law(IntEnum):
    WORDS = 0
    UNIFORM = 1
    GUMBEL = 2
    NORMAL = 3


def draw(law: Law, keys: Tensor, index: Tensor, second: Tensor | int, third: Tensor | int, stream: int) -> Tensor:
    """float32 of the shape that keys [B, 2] and counters broadcast to; of WORDS int64, four of that shape."""
    counters = [
        value if isinstance(value, Tensor) else torch.full((), value, dtype=torch.int64, device=keys.device)
        for value in (index, second, third)
    ]
    rows = (keys.shape[0], *[1] * (index.dim() - 1))
    shape = torch.broadcast_shapes(rows, *(counter.shape for counter in counters))
    assert len(shape) in (2, 3)
    spread = [counter.expand(shape).view(shape[0], -1, shape[-1]) for counter in counters]
    words = law == Law.WORDS
    numbers = torch.empty(
        (4, *shape) if words else shape, dtype=torch.int64 if words else torch.float32, device=keys.device
    )
    outer, middle, inner = spread[0].shape
    draw_block[triton.cdiv(inner, BLOCK), middle, outer](
        numbers,
        keys.expand(outer, 2).contiguous(),
        *spread,
        *(stride for counter in spread for stride in counter.stride()),
        inner,
        STREAM=stream,
        LAW=int(law),
        BLOCK=BLOCK,
        num_warps=4,
    )
    return numbers


@triton.jit
def uniform(word):
    return ((word >> 9).to(tl.float32) + 0.5) * 1.1920928955078125e-07  # 2^-23


@triton.jit
def draw_block(
    numbers,
    keys,
    index,
    second,
    third,
    index_row,
    index_middle,
    index_inner,
    second_row,
    second_middle,
    second_inner,
    third_row,
    third_middle,
    third_inner,
    inner,
    STREAM: tl.constexpr,
    LAW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    middle, row = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    here = place < inner
    key = tl.load(keys + 2 * row).to(tl.uint64) | (tl.load(keys + 2 * row + 1).to(tl.uint64) << 32)
    first = tl.load(index + row * index_row + middle * index_middle + place * index_inner, mask=here, other=0)
    other = tl.load(second + row * second_row + middle * second_middle + place * second_inner, mask=here, other=0)
    last = tl.load(third + row * third_row + middle * third_middle + place * third_inner, mask=here, other=0)
    stream = tl.full([BLOCK], STREAM, tl.uint32)
    words = tl.philox(key, first.to(tl.uint32), other.to(tl.uint32), last.to(tl.uint32), stream, 10)
    at = (row * tl.num_programs(1) + middle) * inner + place
    if LAW == 0:
        size = tl.num_programs(2).to(tl.int64) * tl.num_programs(1) * inner
        for word in tl.static_range(4):
            tl.store(numbers + word * size + at, words[word].to(tl.int64), mask=here)
    elif LAW == 1:
        tl.store(numbers + at, uniform(words[0]), mask=here)
    elif LAW == 2:
        tl.store(numbers + at, -tl.log(-tl.log(uniform(words[0]))), mask=here)
    else:
        length = tl.sqrt_rn(-2 * tl.log(uniform(words[0])))
        tl.store(numbers + at, length * tl.cos(uniform(words[1]) * TWO_PI), mask=here)
