"""Pooling over neighbours, in PyTorch, by a sort.

B rows, H KV heads, W window, N slots.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, max_pool1d


def mean(score: Tensor, order: Tensor, candidates: Tensor, width: int) -> Tensor:
    return pool(score, order, candidates, width, avg_pool1d)


def highest(score: Tensor, order: Tensor, candidates: Tensor, width: int) -> Tensor:
    return pool(score, order, candidates, width, max_pool1d)


def pool(score: Tensor, order: Tensor, candidates: Tensor, width: int, pooling: Callable[..., Tensor]) -> Tensor:
    """Pool the candidates, lined up by `order` and followed by zeros; 0 for all others."""
    line = order.masked_fill(~candidates, torch.iinfo(torch.int32).max).argsort(dim=-1, stable=True)
    if score.dim() == 4:
        candidates, line = candidates[:, :, None], line[:, :, None].expand_as(score)
    lined = score.masked_fill(~candidates, 0).gather(-1, line).flatten(0, -3)
    pooled = pooling(lined, width, stride=1, padding=width // 2).view_as(score)
    return torch.zeros_like(score).scatter_(-1, line, pooled).masked_fill_(~candidates, 0)
