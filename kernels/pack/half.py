# pyright: reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportGeneralTypeIssues=false
"""Codes as numbers of float16, as tensor cores take them: few instructions a code, where `restore` goes by float32.

Numbers of e4m3 are numbers of float16, and their scale is left to who multiplies; even steps of four bits are counted
out in pairs. What a GPU does so stands in PTX, and beside it in Triton, which its interpreter runs.

R vectors, D head dim, G groups of channels.
"""

from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

from ..overlap import ON
from .formats import Kind
from .kernel import FLOAT8

if TYPE_CHECKING:
    from . import Stored

LEAST = tl.constexpr(2.0**-24)  # scale above 0


def has_halves(stored: "Stored") -> bool:
    """Whether `load_halves` reads a column: one of e4m3, or of steps of four bits, without a ring."""
    if isinstance(stored, Tensor) or stored.ring.numel() or stored.dim < 32:
        return False
    kind, bits, group = stored.form.layout(stored.dim)
    return kind == Kind.FLOAT8 or (kind == Kind.AFFINE and bits == 4 and group > 1)


@triton.jit
def halves(LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Which channels [D / 2] the two of `load_halves` have: those that cost nothing to part."""
    place = tl.arange(0, DIM // 2)
    if LAYOUT[0] == FLOAT8:
        first, second = place, DIM // 2 + place
    else:
        first, second = 2 * place, 2 * place + 1
    return first, second


@triton.jit
def load_halves(parts, place, there, STAYS: tl.constexpr, LAYOUT: tl.constexpr, DIM: tl.constexpr):
    """Turned vectors at `place` [R] int64 as two of [R, D / 2] float16, of e4m3 before their scale.

    Zeros where they are not `there`, which may be None: all are. STAYS: they become numbers in the threads that have
    loaded them; if not, they may move before, as bytes, which costs less where a thread is to have neighbouring
    channels, and more where neighbouring slots.
    """
    BYTES: tl.constexpr = DIM * LAYOUT[1] // 8
    at = parts[0] + place[:, None] * BYTES + tl.arange(0, DIM // 2)
    code = load(at, there, 0)
    if LAYOUT[0] == FLOAT8:
        first, second = half_of_e4m3(code, STAYS), half_of_e4m3(load(at + DIM // 2, there, 0), STAYS)
    else:
        GROUPS: tl.constexpr = DIM // LAYOUT[2]
        at = parts[1] + place[:, None] * (2 * GROUPS) + tl.arange(0, GROUPS)
        scale, least = load(at, there, 0.0), load(at + GROUPS, there, 0.0)
        first, second = half_of_nibbles(code, spread(scale, BYTES), spread(least, BYTES), STAYS)
    return first, second


@triton.jit
def load(at, there, other):
    return tl.load(at) if there is None else tl.load(at, mask=there[:, None], other=other)


@triton.jit
def load_scales(parts, place):
    """Of vectors of e4m3 at `place` [R], [R] float32: two at a time, for less than four bytes are not copied ahead."""
    two = tl.load((parts[1] + place // 2 * 2).to(tl.pointer_type(tl.uint32), bitcast=True))
    return (two >> (place % 2 * 16).to(tl.uint32)).to(tl.uint16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def spread(number, WIDTH: tl.constexpr):
    """[R, G] to [R, WIDTH], each for so many neighbours."""
    R: tl.constexpr = number.shape[0]
    G: tl.constexpr = number.shape[1]
    return tl.reshape(tl.broadcast_to(number[:, :, None], [R, G, WIDTH // G]), [R, WIDTH])


@triton.jit
def half_of_e4m3(code, STAYS: tl.constexpr):
    if ON:
        return tl.inline_asm_elementwise(
            """{
            .reg .b16 low, high;
            mov.b32 {low, high}, $2;
            cvt.rn.f16x2.e4m3x2 $0, low;
            cvt.rn.f16x2.e4m3x2 $1, high;
            }""",
            "=r,=r,r",
            [code],
            dtype=tl.float16,
            is_pure=not STAYS,
            pack=4,
        )
    return code.to(tl.float8e4nv, bitcast=True).to(tl.float16)


@triton.jit
def half_of_nibbles(code, scale, least, STAYS: tl.constexpr):
    """Of low and of high bits."""
    if ON:
        # the byte below 0x64 makes 1024 and the low bits, or 1024 and 16 times the high ones
        low, high = tl.inline_asm_elementwise(
            """{
            .reg .b32 low<2>, high<2>, away, share;
            prmt.b32 high0, $4, 0x64646464, 0x4140;
            prmt.b32 high1, $4, 0x64646464, 0x4342;
            and.b32 low0, high0, 0xff0fff0f;
            and.b32 low1, high1, 0xff0fff0f;
            and.b32 high0, high0, 0xfff0fff0;
            and.b32 high1, high1, 0xfff0fff0;
            mov.b32 away, 0xe400e400;
            add.rn.f16x2 low0, low0, away;
            add.rn.f16x2 low1, low1, away;
            mov.b32 share, 0x2c002c00;
            mov.b32 away, 0xd400d400;
            fma.rn.f16x2 high0, high0, share, away;
            fma.rn.f16x2 high1, high1, share, away;
            fma.rn.f16x2 $0, low0, $5, $7;
            fma.rn.f16x2 $1, low1, $6, $8;
            fma.rn.f16x2 $2, high0, $5, $7;
            fma.rn.f16x2 $3, high1, $6, $8;
            }""",
            "=r,=r,=r,=r,r,r,r,r,r",
            [code, scale, least],
            dtype=(tl.float16, tl.float16),
            is_pure=not STAYS,
            pack=4,
        )
    else:
        scale, least = scale.to(tl.float32), least.to(tl.float32)
        low = ((code & 15).to(tl.float32) * scale + least).to(tl.float16)
        high = ((code >> 4).to(tl.float32) * scale + least).to(tl.float16)
    return low, high
