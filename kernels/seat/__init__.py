"""A column of some rows written anew, with what rows of another column hold: a prompt's, where a row begins with it.

B rows, R of them that begin, P prompts, H KV heads, N slots (or what else a column has of each head), n of a prompt.
"""

from torch import Tensor

from . import reference

__all__ = ["seat"]


def seat(column: Tensor, prompts: Tensor, rows: Tensor, places: Tensor, empty: int) -> None:
    """Rows [R] of column [B, H, N, ...] become rows `places` [R] of prompts [P, H, n, ...], and `empty` behind n."""
    assert all(each.is_contiguous() for each in (column, prompts, rows, places))
    if column.is_cuda:
        from . import kernel

        kernel.seat(column, prompts, rows, places, empty)
    else:
        reference.seat(column, prompts, rows, places, empty)
