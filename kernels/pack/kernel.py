# pyright: reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
"""Vectors as codes in Triton: what other kernels take in to write a vector, or to read some, and both on their own.

R vectors, D head dim, C codes, G groups of channels, M numbers beside the codes.
"""

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from .formats import Kind
from .reference import LARGEST as LARGEST_FLOAT8

if TYPE_CHECKING:
    from . import Encoded, Format, Packed, Stored

BLOCK = 32  # vectors at a time
FLOAT8, AFFINE, SPHERE, CHANNELS, LEADING, CODEBOOK = (tl.constexpr(kind.value) for kind in Kind)
LARGEST = tl.constexpr(LARGEST_FLOAT8)


def encode(form: "Format", vectors: Tensor) -> "Encoded":
    dim, first = vectors.shape[-1], vectors.shape[:-1]
    codes = vectors.new_empty(*first, form.num_codes(dim), dtype=form.dtype)
    scales = vectors.new_empty(*first, form.num_scales(dim), dtype=torch.float16)
    num = first.numel()
    encode_block[triton.cdiv(num, BLOCK),](
        vectors.contiguous(),
        (codes, scales, form.table(vectors.device)),
        num,
        LAYOUT=tuple(form.layout(dim)),
        DIM=dim,
        BLOCK=BLOCK,
        num_warps=4,
    )
    return codes, scales


def decode(packed: "Packed") -> Tensor:
    """[B, H, N, D] float32, turned."""
    rows, heads, slots, dim = packed.shape
    turned = torch.empty(packed.shape, dtype=torch.float32, device=packed.device)
    decode_block[triton.cdiv(slots, BLOCK), heads, rows](
        column(packed), turned, slots, LAYOUT=layout(packed), DIM=dim, BLOCK=BLOCK, num_warps=4
    )
    return turned


def column(packed: "Stored") -> tuple[Tensor, ...] | Tensor:
    """What a kernel is given to read a column, however its codes lie; a plain one it reads by `strides`."""
    if isinstance(packed, Tensor):
        return packed
    packed = packed.contiguous()
    parts = packed.codes, packed.scales, packed.form.table(packed.device).contiguous()
    if packed.ring.numel():
        parts = *parts, packed.ring, packed.positions, packed.position
    return parts


def layout(packed: "Stored") -> tuple[int, ...] | None:
    """What it is compiled for: kind, bits, group, places of the ring; None: a plain column."""
    return None if isinstance(packed, Tensor) else (*packed.form.layout(packed.dim), packed.ring.shape[2])


def strides(*columns: "Stored") -> tuple[int, int]:
    """From a row to the next, and from a head, in numbers of a vector's channels; columns lie alike, codes in order."""
    _, heads, slots, dim = columns[0].shape
    in_order = heads * slots * dim, slots * dim, dim, 1
    ((row, head, *inner),) = {one.stride() if isinstance(one, Tensor) else in_order for one in columns}
    assert inner == [dim, 1]
    return row, head


def turned(query: Tensor, keys: "Stored") -> Tensor:
    """Vectors [..., H, n, D] in the basis of stored keys: products are those of before."""
    return query if isinstance(keys, Tensor) else keys.form.turn(query).to(query.dtype)


@triton.jit
def load_plane(codes, at, there, COUNT: tl.constexpr, WIDTH: tl.constexpr):
    """Codes [R, D] of WIDTH bits in the COUNT bytes from `at` [R] on."""
    code = tl.load(codes + at[:, None] + tl.arange(0, COUNT), mask=there[:, None], other=0)
    if WIDTH <= 4:
        code = tl.interleave(code & 15, code >> 4)
    if WIDTH <= 2:
        code = tl.interleave(code & 3, code >> 2)
    if WIDTH == 1:
        code = tl.interleave(code & 1, code >> 1)
    return code


@triton.jit
def store_plane(codes, at, there, code, COUNT: tl.constexpr, WIDTH: tl.constexpr):
    """The reverse."""
    R: tl.constexpr = code.shape[0]
    if WIDTH == 1:
        low, high = tl.split(tl.reshape(code, [R, COUNT * 4, 2]))
        code = low | (high << 1)
    if WIDTH <= 2:
        low, high = tl.split(tl.reshape(code, [R, COUNT * 2, 2]))
        code = low | (high << 2)
    if WIDTH <= 4:
        low, high = tl.split(tl.reshape(code, [R, COUNT, 2]))
        code = low | (high << 4)
    tl.store(codes + at[:, None] + tl.arange(0, COUNT), code.to(tl.uint8), mask=there[:, None])


@triton.jit
def load_codes(codes, place, there, BITS: tl.constexpr, DIM: tl.constexpr):
    """Codes [R, D] of the vectors at `place` [R]."""
    if BITS == 3:
        at = place * (DIM * 3 // 8)
        code = load_plane(codes, at, there, DIM // 4, 2)
        code |= load_plane(codes, at + DIM // 4, there, DIM // 8, 1) << 2
    else:
        code = load_plane(codes, place * (DIM * BITS // 8), there, DIM * BITS // 8, BITS)
    return code


@triton.jit
def store_codes(codes, place, there, code, BITS: tl.constexpr, DIM: tl.constexpr):
    if BITS == 3:
        at = place * (DIM * 3 // 8)
        store_plane(codes, at, there, code & 3, DIM // 4, 2)
        store_plane(codes, at + DIM // 4, there, code >> 2, DIM // 8, 1)
    else:
        store_plane(codes, place * (DIM * BITS // 8), there, code, DIM * BITS // 8, BITS)


@triton.jit
def restore(parts, place, there, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Turned vectors [R, D] float32 of the codes at `place` [R] int64; zeros where they are not `there`."""
    KIND: tl.constexpr = LAYOUT[0]
    BITS: tl.constexpr = LAYOUT[1]
    GROUP: tl.constexpr = LAYOUT[2]
    channel = tl.arange(0, DIM)
    if KIND == LEADING:
        kept = there[:, None] & (channel < GROUP)
        number = tl.load(parts[0] + place[:, None] * GROUP + channel, mask=kept, other=0.0).to(tl.float32)
    elif KIND == CODEBOOK:
        code = tl.load(parts[0] + place[:, None] * (DIM // GROUP) + channel // GROUP, mask=there[:, None], other=0)
        at = (channel // GROUP * 256 + code.to(tl.int32)) * GROUP + channel % GROUP
        number = tl.where(there[:, None], tl.load(parts[2] + at), 0.0)
    elif KIND == CHANNELS:
        code = load_codes(parts[0], place, there, BITS, DIM)
        at = parts[1] + (place // GROUP)[:, None] * (2 * DIM) + channel
        scale = tl.load(at, mask=there[:, None], other=0.0).to(tl.float32)
        number = code.to(tl.float32) * scale + tl.load(at + DIM, mask=there[:, None], other=0.0).to(tl.float32)
    elif KIND == AFFINE:
        code = load_codes(parts[0], place, there, BITS, DIM)
        R: tl.constexpr = code.shape[0]
        GROUPS: tl.constexpr = DIM // GROUP
        at = parts[1] + place[:, None] * (2 * GROUPS) + tl.arange(0, GROUPS)
        scale = tl.load(at, mask=there[:, None], other=0.0).to(tl.float32)
        least = tl.load(at + GROUPS, mask=there[:, None], other=0.0).to(tl.float32)
        grouped = tl.reshape(code.to(tl.float32), [R, GROUPS, GROUP])
        number = tl.reshape(grouped * scale[:, :, None] + least[:, :, None], [R, DIM])
    else:
        code = load_codes(parts[0], place, there, BITS, DIM)
        scale = tl.load(parts[1] + place, mask=there, other=0.0).to(tl.float32)
        if KIND == FLOAT8:
            number = code.to(tl.float8e4nv, bitcast=True).to(tl.float32)
        else:
            number = tl.load(parts[2] + code.to(tl.int32))
        number = number * scale[:, None]
    return number


@triton.jit
def read(parts, pair, row, slot, there, num_slots, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Turned vectors [R, D] float32 of slots [R], those in the ring as they stand there."""
    place = pair * num_slots + slot.to(tl.int64)
    number = restore(parts, place, there, LAYOUT, DIM)
    RING: tl.constexpr = LAYOUT[3]
    if RING:
        position = tl.load(parts[4] + place, mask=there, other=-1)
        recent = position >= tl.maximum(tl.load(parts[5] + row) - RING, 0)  # a slot where no token stands has -1
        at = (pair * RING + position % RING)[:, None] * DIM + tl.arange(0, DIM)
        plain = tl.load(parts[3] + at, mask=recent[:, None], other=0.0).to(tl.float32)
        number = tl.where(recent[:, None], plain, number)
    return number


@triton.jit
def load_rows(stored, base, pair, row, slot, there, num_slots, DTYPE, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Vectors [R, D] of slots [R]: of a plain column, whose head begins at `base`, or turned, as DTYPE."""
    if LAYOUT is None:
        where = base + slot.to(tl.int64) * DIM
        number = tl.load(stored + where[:, None] + tl.arange(0, DIM)[None, :], mask=there[:, None], other=0.0)
    else:
        number = read(stored, pair, row, slot, there, num_slots, LAYOUT, DIM).to(DTYPE)
    return number


@triton.jit
def load_columns(stored, base, pair, row, slot, there, num_slots, DTYPE, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """The same [D, R], as a product with queries takes them."""
    if LAYOUT is None:
        where = base + slot.to(tl.int64) * DIM
        number = tl.load(stored + where[None, :] + tl.arange(0, DIM)[:, None], mask=there[None, :], other=0.0)
    else:
        number = tl.trans(read(stored, pair, row, slot, there, num_slots, LAYOUT, DIM)).to(DTYPE)
    return number


@triton.jit
def write(parts, number, place, there, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Store turned vectors [R, D] float32 as codes at `place` [R] int64."""
    KIND: tl.constexpr = LAYOUT[0]
    BITS: tl.constexpr = LAYOUT[1]
    GROUP: tl.constexpr = LAYOUT[2]
    R: tl.constexpr = number.shape[0]
    broken = tl.sum(number * 0.0, 1)  # NaN, which greatest and least do not show
    if KIND == LEADING:
        channel = tl.arange(0, DIM)
        own = number.to(parts[0].dtype.element_ty)
        tl.store(parts[0] + place[:, None] * GROUP + channel, own, mask=there[:, None] & (channel < GROUP))
    elif KIND == CODEBOOK:
        for part in range(0, DIM // GROUP):
            code = tl.where(broken == 0, nearest_centroid(parts[2], number, part, GROUP, DIM), 255)
            tl.store(parts[0] + place * (DIM // GROUP) + part, code.to(tl.uint8), mask=there)
    elif KIND == AFFINE:
        GROUPS: tl.constexpr = DIM // GROUP
        LEVELS: tl.constexpr = 2**BITS - 1
        grouped = tl.reshape(number, [R, GROUPS, GROUP])
        least = (tl.min(grouped, 2) + broken[:, None]).to(tl.float16)
        span = tl.max(grouped, 2) - least.to(tl.float32)
        scale = tl.maximum(tl.div_rn(span, tl.full(span.shape, LEVELS, tl.float32)), 0.0).to(tl.float16)
        steps = tl.div_rn(grouped - least.to(tl.float32)[:, :, None], unless_zero(scale)[:, :, None] + grouped * 0.0)
        code = tl.minimum(tl.maximum(tl.floor(steps + 0.5), 0.0), LEVELS)
        store_codes(parts[0], place, there, tl.reshape(code, [R, DIM]).to(tl.uint8), BITS, DIM)
        at = parts[1] + place[:, None] * (2 * GROUPS) + tl.arange(0, GROUPS)
        tl.store(at, scale, mask=there[:, None])
        tl.store(at + GROUPS, least, mask=there[:, None])
    elif KIND == FLOAT8:
        most = tl.max(tl.abs(number), 1) + broken
        scale = tl.div_rn(most, tl.full(most.shape, LARGEST, tl.float32)).to(tl.float16)
        scaled = tl.div_rn(number, unless_zero(scale)[:, None] + number * 0.0)
        scaled = tl.minimum(tl.maximum(scaled, -LARGEST), LARGEST)
        code = to_e4m3(scaled).to(tl.float8e4nv).to(tl.uint8, bitcast=True)
        store_codes(parts[0], place, there, code, BITS, DIM)
        tl.store(parts[1] + place, scale, mask=there)
    else:
        CENTROIDS: tl.constexpr = 2**BITS
        norm = tl.sqrt_rn(tl.sum(number * number, 1))
        spread = tl.div_rn(number, tl.where(norm == 0, 1.0, norm)[:, None] + number * 0.0) * (DIM**0.5)
        code = tl.zeros([R, DIM], tl.int32)
        for border in tl.static_range(CENTROIDS - 1):
            code += (spread > tl.load(parts[2] + CENTROIDS + border)).to(tl.int32)
        centroid = tl.load(parts[2] + code)
        length = tl.sqrt_rn(tl.sum(centroid * centroid, 1))
        store_codes(parts[0], place, there, code.to(tl.uint8), BITS, DIM)
        tl.store(parts[1] + place, tl.div_rn(norm, length).to(tl.float16), mask=there)


@triton.jit
def nearest_centroid(centroids, number, part, WIDTH: tl.constexpr, DIM: tl.constexpr):
    """Which of 255 centroids is nearest to a part of vectors [R, D], [R] int32; of two, the first."""
    R: tl.constexpr = number.shape[0]
    channel, candidate = tl.arange(0, DIM), tl.arange(0, 256)
    distance = tl.zeros([R, 256], tl.float32)
    for at in range(0, WIDTH):
        own = tl.sum(tl.where(channel == part * WIDTH + at, number, 0.0), 1)
        gap = own[:, None] - tl.load(centroids + (part * 256 + candidate) * WIDTH + at)
        distance += gap * gap
    return tl.argmin(tl.where(candidate == 255, float("inf"), distance), 1)


@triton.jit
def write_group(parts, number, place, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Store turned vectors [GROUP, D] float32 of neighbouring tokens as codes from `place` on."""
    BITS: tl.constexpr = LAYOUT[1]
    GROUP: tl.constexpr = LAYOUT[2]
    LEVELS: tl.constexpr = 2**BITS - 1
    broken = tl.sum(number * 0.0, 0)
    least = (tl.min(number, 0) + broken).to(tl.float16)
    span = tl.max(number, 0) - least.to(tl.float32)
    scale = tl.maximum(tl.div_rn(span, tl.full(span.shape, LEVELS, tl.float32)), 0.0).to(tl.float16)
    steps = tl.div_rn(number - least.to(tl.float32)[None, :], unless_zero(scale)[None, :] + number * 0.0)
    code = tl.minimum(tl.maximum(tl.floor(steps + 0.5), 0.0), LEVELS).to(tl.uint8)
    each = place + tl.arange(0, GROUP)
    store_codes(parts[0], each, each >= 0, code, BITS, DIM)
    at = parts[1] + (place // GROUP) * (2 * DIM) + tl.arange(0, DIM)
    tl.store(at, scale)
    tl.store(at + DIM, least)


@triton.jit
def to_e4m3(number):
    """The nearest numbers of e4m3, ties to even: Triton's interpreter loses a carry where it converts by itself."""
    bits = number.to(tl.uint32, bitcast=True)
    normal = ((bits + 0x7FFFF + ((bits >> 20) & 1)) & 0xFFF00000).to(tl.float32, bitcast=True)
    small = (number + 24576.0) - 24576.0  # 1.5 * 2**14, where float32 has steps of 2**-9
    return tl.where(tl.abs(number) < 0.015625, small, normal)


@triton.jit
def unless_zero(scale):
    """float32, to divide by."""
    return tl.where(scale == 0, 1.0, scale.to(tl.float32))


@triton.jit
def encode_block(vectors, parts, num, LAYOUT: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = place < num
    own = tl.load(vectors + place[:, None] * DIM + tl.arange(0, DIM), mask=there[:, None], other=0.0)
    write(parts, own.to(tl.float32), place, there, LAYOUT, DIM)


@triton.jit
def decode_block(parts, turned, num_slots, LAYOUT: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + tl.program_id(1)
    slot = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = slot < num_slots
    number = read(parts, pair, row, slot, there, num_slots, LAYOUT, DIM)
    at = (pair * num_slots + slot)[:, None] * DIM + tl.arange(0, DIM)
    tl.store(turned + at, number, mask=there[:, None])
