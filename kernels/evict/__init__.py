"""Eviction: which slots go, and how the cache closes its ranks, shared by every method.

`lowest` chooses the victims, `compact` closes the holes that a mask of survivors leaves, `drop` is both in one.

B rows of the cache, R rows that are due, H KV heads, N slots; columns are tensors [B, H, N, ...], changed in place like
the lengths [B, H] int32. rows [R] names the rows that are due, -1 none: with an R of its own for each captured program,
the number of rows that are due may vary.
"""

from collections.abc import Sequence

from torch import Tensor

from . import reference

__all__ = ["compact", "drop", "lowest"]


def lowest(score: Tensor, positions: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    """[R, H, N] bool: the `count` [R] or [R, H] eligible slots of lowest score; of equal ones the lower position.

    +inf insists, and so does NaN, but neither exempts. score float32, positions int32, eligible bool, all [R, H, N].
    """
    if score.is_cuda:
        from . import kernel

        return kernel.lowest(score, positions, eligible, count)
    return reference.lowest(score, positions, eligible, count)


def compact(columns: Sequence[Tensor], lengths: Tensor, rows: Tensor, keep: Tensor) -> None:
    """Close the holes of the victims; keep [R, H, N] marks the survivors among the live slots.

    Survivors beyond the new length move into the holes before it: at most as many moves as victims, and the order of
    all others stays.
    """
    if keep.is_cuda:
        from . import kernel

        kernel.compact(columns, lengths, rows, keep)
    else:
        reference.compact(columns, lengths, rows, keep)


def drop(
    columns: Sequence[Tensor],
    lengths: Tensor,
    rows: Tensor,
    *,
    score: Tensor,
    positions: Tensor,
    evictable: Tensor,
    excess: Tensor,
) -> None:
    """Drop the `excess` [R] or [R, H] evictable slots of lowest score; the masks and scores are those of `lowest`."""
    if score.is_cuda:
        from . import kernel

        kernel.drop(columns, lengths, rows, score, positions, evictable, excess)
    else:
        reference.drop(columns, lengths, rows, score, positions, evictable, excess)
