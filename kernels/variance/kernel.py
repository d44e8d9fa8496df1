# pyright: reportCallIssue=false, reportArgumentType=false
"""The variance in Triton: a program a block of slots and KV head; what the blocks say is added up by PyTorch.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, C blocks.
"""

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..attend.kernel import check_bias, check_head_dim
from ..pack.kernel import column, layout, load_columns, load_rows, strides, turned
from .reference import LEAST

if TYPE_CHECKING:
    from ..attend import Attended
    from ..pack import Stored

BLOCK = 64  # slots a program reads


def variance(
    query: Tensor, keys: "Stored", values: "Stored", lengths: Tensor, attended: "Attended", scale: float, bias: Tensor
) -> Tensor:
    rows, heads, groups, dim = query.shape
    check_head_dim(dim)
    check_bias(bias, *strides(keys, values), dim)
    blocks = triton.cdiv(keys.shape[2], BLOCK)
    parts = query.new_zeros(rows, heads, blocks, groups, dtype=torch.float32)
    output = attended.output if isinstance(values, Tensor) else values.form.turn(attended.output).to(query.dtype)
    add_distances[blocks, heads, rows](
        parts,
        turned(query, keys).contiguous(),
        column(keys),
        column(values),
        lengths.contiguous(),
        output.contiguous(),
        attended.lse.contiguous(),
        bias,
        *strides(keys, values),
        KEYS=layout(keys),
        VALUES=layout(values),
        GROUPS=groups,
        SCALE=scale,
        LEAST=LEAST,
        DIM=dim,
        TILE=max(16, triton.next_power_of_2(groups)),
        BLOCK=BLOCK,
        num_warps=4,
    )
    return parts.sum(2)


@triton.jit
def add_distances(
    parts,
    query,
    keys,
    values,
    lengths,
    output,
    lse,
    bias,
    row_stride,
    head_stride,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    GROUPS: tl.constexpr,
    SCALE: tl.constexpr,
    LEAST: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of slots of one KV head."""
    block, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + head
    length = tl.load(lengths + pair)
    if block * BLOCK < length:
        lane, channel, slot = tl.arange(0, TILE), tl.arange(0, DIM), block * BLOCK + tl.arange(0, BLOCK)
        there, live, num_slots = lane < GROUPS, slot < length, head_stride // DIM
        own_at = (pair * GROUPS + lane)[:, None] * DIM + channel
        own = tl.load(query + own_at, mask=there[:, None], other=0.0)
        mean = tl.load(output + own_at, mask=there[:, None], other=0.0)
        total = tl.load(lse + pair * GROUPS + lane, mask=there, other=0.0)
        extra = tl.load(bias + pair * num_slots + slot, mask=live, other=0.0)
        base = row * row_stride + head * head_stride
        key = load_columns(keys, base, pair, row, slot, live, num_slots, own.dtype, KEYS, DIM)
        logits = tl.dot(own, key, input_precision="ieee") * SCALE + extra[None, :] - total[:, None]
        probability = tl.where(there[:, None] & live[None, :], tl.exp(logits), 0.0)
        value = load_rows(values, base, pair, row, slot, live, num_slots, own.dtype, VALUES, DIM)
        products = tl.dot(mean, tl.trans(value).to(mean.dtype), input_precision="ieee")
        mean, value = mean.to(tl.float32), value.to(tl.float32)
        away = tl.maximum(tl.sum(mean * mean, 1)[:, None] + tl.sum(value * value, 1)[None, :] - 2 * products, 0.0)
        uncertain = 1.0 - tl.exp(-extra)
        odds = probability / tl.maximum(1.0 - probability, LEAST)
        part = tl.sum(uncertain[None, :] * odds * odds * away, 1)
        at = (pair * tl.num_programs(0) + block) * GROUPS + lane
        tl.store(parts + at, part, mask=there)
