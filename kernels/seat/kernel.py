# pyright: reportCallIssue=false, reportArgumentType=false
"""Rows that begin with prompts, in Triton: one launch copies and empties."""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 2048  # numbers a program


def seat(column: Tensor, prompts: Tensor, rows: Tensor, places: Tensor, empty: int) -> None:
    if column.dtype.itemsize == 1:  # codes, of which 0 is 0
        column, prompts = column.view(torch.uint8), prompts.view(torch.uint8)
    size, known = column.shape[2:].numel(), prompts.shape[2:].numel()
    grid = triton.cdiv(size, BLOCK), column.shape[1], len(rows)
    copy_or_empty[grid](column, prompts, rows, places, size, known, EMPTY=empty, BLOCK=BLOCK, num_warps=4)


@triton.jit
def copy_or_empty(column, prompts, rows, places, size, known, EMPTY: tl.constexpr, BLOCK: tl.constexpr):
    head, heads = tl.program_id(1), tl.num_programs(1)
    row, place = tl.load(rows + tl.program_id(2)), tl.load(places + tl.program_id(2))
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    new = tl.load(prompts + (place * heads + head) * known + at, mask=at < known, other=EMPTY)
    tl.store(column + (row * heads + head) * size + at, new, mask=at < size)
