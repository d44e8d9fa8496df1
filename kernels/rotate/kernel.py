# pyright: reportCallIssue=false
"""Norm and rotation of heads in Triton: one launch, a program a row and head.

B rows, Hq query heads, H KV heads, D head dim.
"""

import triton
import triton.language as tl
from torch import Tensor

from ..norm import Norm
from ..overlap import OVERLAP, begin


def rotate(
    joined: Tensor, cos: Tensor, sin: Tensor, heads: tuple[int, int], query: Norm | None, key: Norm | None
) -> tuple[Tensor, Tensor, Tensor]:
    (num_queries, num_keys), num_rows = heads, len(joined)
    dim = cos.shape[-1]
    q = joined.new_empty(num_rows, num_queries, dim)
    k, v = joined.new_empty(num_rows, num_keys, dim), joined.new_empty(num_rows, num_keys, dim)
    some = query or key
    rotate_head[num_queries + 2 * num_keys, num_rows](
        joined.contiguous(),
        cos.contiguous(),
        sin.contiguous(),
        query.weight if query else joined,
        key.weight if key else joined,
        q,
        k,
        v,
        some.epsilon if some else 0.0,
        QUERIES=num_queries,
        KEYS=num_keys,
        DIM=dim,
        NORM_QUERY=query is not None,
        NORM_KEY=key is not None,
        num_warps=1,
        **OVERLAP,
    )
    return q, k, v


@triton.jit
def rotate_head(
    joined,
    cos,
    sin,
    query_weight,
    key_weight,
    q,
    k,
    v,
    epsilon,
    QUERIES: tl.constexpr,
    KEYS: tl.constexpr,
    DIM: tl.constexpr,
    NORM_QUERY: tl.constexpr,
    NORM_KEY: tl.constexpr,
):
    begin()
    head, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    half: tl.constexpr = DIM // 2
    lane = tl.arange(0, half)
    source = joined + (row * (QUERIES + 2 * KEYS) + head) * DIM + lane
    low, high = tl.load(source), tl.load(source + half)
    if head >= QUERIES + KEYS:
        target = v + (row * KEYS + head - QUERIES - KEYS) * DIM + lane
        tl.store(target, low)
        tl.store(target + half, high)
    elif head >= QUERIES:
        low, high = normed_halves(low, high, key_weight, lane, epsilon, NORM_KEY, DIM)
        turn(k + (row * KEYS + head - QUERIES) * DIM + lane, low, high, cos, sin, row * DIM + lane, DIM)
    else:
        low, high = normed_halves(low, high, query_weight, lane, epsilon, NORM_QUERY, DIM)
        turn(q + (row * QUERIES + head) * DIM + lane, low, high, cos, sin, row * DIM + lane, DIM)


@triton.jit
def normed_halves(low, high, weight, lane, epsilon, NORM: tl.constexpr, DIM: tl.constexpr):
    if NORM:
        kind = low.dtype
        first, second = low.to(tl.float32), high.to(tl.float32)
        scale = tl.rsqrt((tl.sum(first * first, 0) + tl.sum(second * second, 0)) / DIM + epsilon)
        low = rounded_product((first * scale).to(kind), tl.load(weight + lane))
        high = rounded_product((second * scale).to(kind), tl.load(weight + DIM // 2 + lane))
    return low, high


@triton.jit
def rounded_product(left, right):
    """Rounded, as a product of tensors is."""
    return (left.to(tl.float32) * right.to(tl.float32)).to(left.dtype)


@triton.jit
def turn(target, low, high, cos, sin, at, DIM: tl.constexpr):
    half: tl.constexpr = DIM // 2
    one = rounded_product(low, tl.load(cos + at)).to(tl.float32) - rounded_product(high, tl.load(sin + at)).to(
        tl.float32
    )
    two = rounded_product(high, tl.load(cos + at + half)).to(tl.float32) + rounded_product(
        low, tl.load(sin + at + half)
    ).to(tl.float32)
    tl.store(target, one.to(low.dtype))
    tl.store(target + half, two.to(low.dtype))
