# pyright: reportCallIssue=false, reportArgumentType=false
"""The gate of an MLP in Triton: one launch for what PyTorch takes two for, the second of them at unlike strides."""

import triton
import triton.language as tl
from torch import Tensor

from ..overlap import OVERLAP, begin

BLOCK = 1024  # channels a program


def gate(both: Tensor) -> Tensor:
    num_rows, size = both.shape[0], both.shape[1] // 2
    out = both.new_empty(num_rows, size)
    sizes = dict(SIZE=size, BLOCK=BLOCK, num_warps=4)
    gate_block[triton.cdiv(size, BLOCK), num_rows](both.contiguous(), out, **sizes, **OVERLAP)
    return out


@triton.jit
def gate_block(both, out, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    begin()
    row, at = tl.program_id(1).to(tl.int64), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < SIZE
    own = tl.load(both + row * 2 * SIZE + at, mask=inside, other=0.0).to(tl.float32)
    value = tl.load(both + row * 2 * SIZE + SIZE + at, mask=inside, other=0.0).to(tl.float32)
    kind = out.dtype.element_ty
    gated = (own / (1 + tl.exp(-own))).to(kind).to(tl.float32)
    tl.store(out + row * SIZE + at, (gated * value).to(kind), mask=inside)
