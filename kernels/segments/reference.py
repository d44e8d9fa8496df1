"""Causal attention over sequences behind one another, in PyTorch: side by side, each padded with its own last token.

T tokens of all sequences, H KV heads, Hq query heads, D head dim, n sequences.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend_segments(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, scale: float) -> Tensor:
    size, starts = len(query), bounds[:-1, None].long()
    place = torch.arange(size, device=query.device)
    last = (bounds.diff()[:, None] - 1).clamp(min=0)
    at = (starts + torch.minimum(torch.arange(longest, device=query.device), last)).clamp(max=size - 1)
    query, key, value = (part[at].transpose(1, 2) for part in (query, key, value))
    output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
    own = torch.searchsorted(bounds[1:].contiguous(), place, right=True).clamp(max=len(starts) - 1)
    return output[own, :, (place - starts[own, 0]).clamp(max=longest - 1)]
