"""Norm and rotation of heads in PyTorch, as Qwen3 and Llama do it: channel d turns with channel d + D / 2.

B rows, Hq query heads, H KV heads, D head dim.
"""

import torch
from torch import Tensor

from ..norm import Norm
from ..norm.reference import normed


def rotate(
    joined: Tensor, cos: Tensor, sin: Tensor, heads: tuple[int, int], query: Norm | None, key: Norm | None
) -> tuple[Tensor, Tensor, Tensor]:
    num_queries, num_keys = heads
    q, k, v = joined.view(len(joined), num_queries + 2 * num_keys, -1).split([num_queries, num_keys, num_keys], 1)
    q, k = q if query is None else normed(q, query), k if key is None else normed(k, key)
    return turned(q, cos, sin), turned(k, cos, sin), v


def turned(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = heads.chunk(2, -1)
    return heads * cos[:, None] + torch.cat([-high, low], -1) * sin[:, None]
