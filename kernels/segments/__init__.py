"""Causal attention over several sequences that lie one behind the other.

T tokens of all sequences, H KV heads, Hq query heads, D head dim, n sequences.
"""

import torch
from torch import Tensor

from . import reference

__all__ = ["attend_segments"]


def attend_segments(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, scale: float) -> Tensor:
    """[T, Hq, D]: a token of query [T, Hq, D] sees those of key and value [T, H, D] up to itself, in its own sequence.

    Sequence i, which may be empty, is tokens `bounds[i]` to `bounds[i + 1]`, bounds [n + 1] int32, and no longer than
    `longest`. Where none is, anything may come out. On a GPU, in half precision, it is PyTorch's FlashAttention.
    """
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        most = bounds, bounds, longest, longest
        return torch.ops.aten._flash_attention_forward(query, key, value, *most, 0.0, True, False, scale=scale)[0]
    return reference.attend_segments(query, key, value, bounds, longest, scale)
