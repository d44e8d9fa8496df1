"""Rows that begin with prompts, in PyTorch."""

from torch import Tensor


def seat(column: Tensor, prompts: Tensor, rows: Tensor, places: Tensor, empty: int) -> None:
    size = prompts.shape[2]
    column[:, :, :size].index_copy_(0, rows, prompts[places])
    column[:, :, size:].index_fill_(0, rows, empty)
