"""Pooling over neighbours: slots lined up by an order of their own, each one's score pooled with those beside it.

B rows, H KV heads, W window, N slots.
"""

from torch import Tensor

from . import reference

__all__ = ["highest", "mean"]


def mean(score: Tensor, order: Tensor, candidates: Tensor, width: int) -> Tensor:
    """Mean of each candidate's score and those of its neighbours; 0 for all others. float32, [B, H, N] or [B, H, W, N].

    Candidates [B, H, N] bool stand by `order` [B, H, N] int32, 0 or more and no two alike; `width` neighbours, itself
    in the middle, those beyond the ends counted as zeros.
    """
    if score.is_cuda:
        from . import kernel

        return kernel.pool(score, order, candidates, width, most=False)
    return reference.mean(score, order, candidates, width)


def highest(score: Tensor, order: Tensor, candidates: Tensor, width: int) -> Tensor:
    """The greatest of them in place of the mean; no score below 0."""
    if score.is_cuda:
        from . import kernel

        return kernel.pool(score, order, candidates, width, most=True)
    return reference.highest(score, order, candidates, width)
