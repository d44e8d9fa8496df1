"""Columns as words of eight bytes, where vectors are whole ones: a copy by number then has fewer to copy."""

import torch
from torch import Tensor


def words(column: Tensor) -> Tensor:
    """The same memory."""
    whole = column.numel() and column.shape[-1] * column.itemsize % 8 == 0
    return column.view(torch.int64) if whole else column


def rows_of(column: Tensor, at: slice | Tensor) -> Tensor:
    """Rows `at`: in place, or a copy of those that are listed."""
    return column[at] if isinstance(at, slice) else words(column)[at].view(column.dtype)
