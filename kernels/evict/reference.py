"""The eviction rule and the compaction, in PyTorch.

B rows, H KV heads, N slots; columns are tensors [R, H, N, ...] over all R rows of the cache.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def lowest(score: Tensor, positions: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    """[B, H, N] bool: the `count` [B] or [B, H] eligible slots of lowest score; of equal ones the lower position."""
    # +inf insists, but does not exempt: ineligible slots still sort after it
    score = score.float().clamp(max=torch.finfo(torch.float32).max).masked_fill(~eligible, torch.inf)
    by_position = positions.argsort(dim=-1, stable=True)
    order = by_position.gather(-1, score.gather(-1, by_position).argsort(dim=-1, stable=True))
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, places)
    count = count[:, None] if count.dim() == 1 else count
    return (rank < count[..., None]) & eligible


def compact(columns: Sequence[Tensor], rows: Tensor, keep: Tensor) -> Tensor:
    """Close the holes of the victims in place; returns the new lengths [B, H] int32 of `rows` [B].

    Survivors beyond the new length move into the holes before it: at most as many moves as victims, and the order of
    all others stays. keep [B, H, N] marks the survivors among the live slots.
    """
    lengths = keep.sum(-1)
    slots = torch.arange(keep.shape[-1], device=keep.device)
    inside = slots < lengths[..., None]
    hole, mover = (~keep & inside).nonzero(), (keep & ~inside).nonzero()  # equally many in each row and head
    row, head, source, target = rows[hole[:, 0]], hole[:, 1], mover[:, 2], hole[:, 2]
    for column in columns:
        column[row, head, target] = column[row, head, source]
    return lengths.to(torch.int32)
