"""The eviction rule and the compaction, in PyTorch.

B rows of the cache, R rows that are due, H KV heads, N slots; columns are tensors [B, H, N, ...].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

GREATEST = torch.finfo(torch.float32).max


def lowest(score: Tensor, positions: Tensor, eligible: Tensor, count: Tensor) -> Tensor:
    # what insists still sorts before what is not eligible
    score = score.float().nan_to_num(nan=GREATEST, posinf=GREATEST, neginf=-torch.inf)
    score = score.masked_fill(~eligible, torch.inf)
    by_position = positions.argsort(dim=-1, stable=True)
    order = by_position.gather(-1, score.gather(-1, by_position).argsort(dim=-1, stable=True))
    places = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(-1, order, places)
    count = count[:, None] if count.dim() == 1 else count
    return (rank < count[..., None]) & eligible


def compact(columns: Sequence[Tensor], lengths: Tensor, rows: Tensor, keep: Tensor) -> None:
    due = rows >= 0
    rows, keep = rows[due], keep[due]
    remaining = keep.sum(-1)
    inside = torch.arange(keep.shape[-1], device=keep.device) < remaining[..., None]
    hole, mover = (~keep & inside).nonzero(), (keep & ~inside).nonzero()  # equally many in each row and head
    row, head, source, target = rows[hole[:, 0]], hole[:, 1], mover[:, 2], hole[:, 2]
    for column in columns:
        column[row, head, target] = column[row, head, source]
    lengths[rows] = remaining.to(lengths.dtype)


def drop(
    columns: Sequence[Tensor],
    lengths: Tensor,
    rows: Tensor,
    score: Tensor,
    positions: Tensor,
    evictable: Tensor,
    excess: Tensor,
) -> None:
    live = torch.arange(score.shape[-1], device=score.device) < lengths[rows][..., None]
    compact(columns, lengths, rows, live & ~lowest(score, positions, evictable, excess))
