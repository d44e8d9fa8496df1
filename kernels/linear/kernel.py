# pyright: reportCallIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false
"""Products of a decode step in Triton: a program reads some rows of the weight once, for all rows of the batch.

A product with few outputs is split over its inputs; the program that ends last adds the parts in their order, so that
the sum is the same every time.

B rows, K inputs, N outputs.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..overlap import OVERLAP, begin, prefetch

BLOCK = 64  # outputs a program
STEP = 128  # inputs at a time, of two bytes each
STAGES = 6
STAGES_OF_PARTS = 4  # of a product that is split, of more than 32 rows
AHEAD, LINE = tl.constexpr(8), tl.constexpr(64)  # lines of the weight's rows that are fetched ahead, of inputs each
FEW, FEW_OF_MANY = 80, 128  # programs that a product is split into, where its outputs make fewer; of more than 32 rows
COUNTERS: dict[torch.device, Tensor] = {}  # parts that have ended, of each block; zero between two products


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    out = x.new_empty(len(x), len(weight))
    few = FEW if len(x) <= 32 else FEW_OF_MANY
    splits = min(4, max(1, few // triton.cdiv(len(weight), BLOCK)))
    launch(x, weight, out, bias, residual, splits=splits, gated=False)
    return out


def gated(x: Tensor, weight: Tensor) -> Tensor:
    out = x.new_empty(len(x), len(weight) // 2)
    launch(x, weight, out, None, None, splits=1, gated=True)
    return out


def launch(
    x: Tensor, weight: Tensor, out: Tensor, bias: Tensor | None, residual: Tensor | None, *, splits: int, gated: bool
) -> None:
    num_rows, num_inputs = x.shape
    assert weight.is_contiguous()
    if x.device not in COUNTERS:
        COUNTERS[x.device] = torch.zeros(FEW_OF_MANY, dtype=torch.int32, device=x.device)
    tile = max(16, triton.next_power_of_2(num_rows))
    blocks = triton.cdiv(out.shape[1], BLOCK // 2 if gated else BLOCK)
    product[blocks, splits](
        x.contiguous(),
        weight,
        x if bias is None else bias,
        x if residual is None else residual.contiguous(),
        out,
        x.new_empty(splits, tile, blocks * BLOCK, dtype=torch.float32) if splits > 1 else x,
        COUNTERS[x.device],
        num_rows,
        INPUTS=num_inputs,
        OUTPUTS=out.shape[1],
        SPLITS=splits,
        BIAS=bias is not None,
        RESIDUAL=residual is not None,
        GATED=gated,
        TILE=tile,
        BLOCK=BLOCK,
        STEP=STEP * 2 // x.element_size(),
        num_warps=4,
        num_stages=STAGES if splits == 1 or tile <= 32 else STAGES_OF_PARTS,
        **OVERLAP,
    )


@triton.jit
def product(
    x,
    weight,
    bias,
    residual,
    out,
    parts,
    ended,
    num_rows,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    SPLITS: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    GATED: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
    STEP: tl.constexpr,
):
    """One block of outputs [BLOCK, TILE] of all rows; GATED: half of it gates, half of it their values."""
    block, split = tl.program_id(0), tl.program_id(1)
    place, row, inner = tl.arange(0, BLOCK), tl.arange(0, TILE), tl.arange(0, STEP)
    if GATED:
        output = block * (BLOCK // 2) + place % (BLOCK // 2)
        line = output + place // (BLOCK // 2) * OUTPUTS
    else:
        output = block * BLOCK + place
        line = output
    line = tl.where(output < OUTPUTS, line, 0).to(tl.int64)  # what lies beyond is not stored
    part: tl.constexpr = (INPUTS + SPLITS * STEP - 1) // (SPLITS * STEP) * STEP
    # a weight is no kernel's output: its first tiles may come while the kernel before this one ends
    first = tl.minimum(split * part + tl.arange(0, AHEAD) * LINE, INPUTS - 1)
    prefetch(weight + line[:, None] * INPUTS + first[None, :])
    begin()
    there = row < num_rows
    total = tl.zeros([BLOCK, TILE], tl.float32)
    for start in range(0, part, STEP):
        at = split * part + start + inner
        inside = at < INPUTS
        rows = tl.load(weight + line[:, None] * INPUTS + at[None, :], mask=inside[None, :], other=0.0)
        own = tl.load(x + row[None, :] * INPUTS + at[:, None], mask=inside[:, None] & there[None, :], other=0.0)
        total = tl.dot(rows, own, total, input_precision="ieee")
    last = True
    if SPLITS > 1:
        width = tl.num_programs(0) * BLOCK
        mine = parts + row[None, :] * width + (block * BLOCK + place)[:, None]
        tl.store(mine + split * TILE * width, total)
        tl.debug_barrier()
        last = tl.atomic_add(ended + block, 1) == SPLITS - 1
        if last:
            tl.store(ended + block, 0)
            total = tl.zeros([BLOCK, TILE], tl.float32)
            for other in tl.static_range(SPLITS):
                total += tl.load(mine + other * TILE * width, cache_modifier=".cg")
    if last:
        store(total, block, bias, residual, out, num_rows, OUTPUTS, BIAS, RESIDUAL, GATED, TILE, BLOCK)


@triton.jit
def store(
    total,
    block,
    bias,
    residual,
    out,
    num_rows,
    OUTPUTS: tl.constexpr,
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    GATED: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What follows a product; every step rounds."""
    kind = out.dtype.element_ty
    if GATED:
        pairs = tl.permute(tl.reshape(total.to(kind).to(tl.float32), (2, BLOCK // 2, TILE)), (1, 2, 0))
        gate, value = tl.split(pairs)
        done = (gate * tl.sigmoid(gate)).to(kind).to(tl.float32) * value
    else:
        done = total
    width: tl.constexpr = done.shape[0]
    output, row = block * width + tl.arange(0, width), tl.arange(0, TILE)
    fits = (output < OUTPUTS)[:, None] & (row < num_rows)[None, :]
    if BIAS:
        done += tl.load(bias + output, mask=output < OUTPUTS, other=0.0).to(tl.float32)[:, None]
    at = row[None, :] * OUTPUTS + output[:, None]
    if RESIDUAL:
        done = done.to(kind).to(tl.float32) + tl.load(residual + at, mask=fits, other=0.0).to(tl.float32)
    tl.store(out + at, done.to(kind), mask=fits)
