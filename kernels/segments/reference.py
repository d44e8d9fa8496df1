"""Causal attention over sequences behind one another, in PyTorch: all tokens at once, under a mask.

T tokens of all sequences, H KV heads, Hq query heads, D head dim, n sequences.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend_segments(query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, scale: float) -> Tensor:
    """A token behind the last sequence is in one of its own kind, so that nothing is NaN."""
    place = torch.arange(len(query), device=query.device)
    own = torch.searchsorted(bounds[1:].contiguous(), place, right=True)
    seen = (own[:, None] == own) & (place[:, None] >= place)
    parts = (part.transpose(0, 1)[None] for part in (query, key, value))
    output = scaled_dot_product_attention(*parts, attn_mask=seen, scale=scale, enable_gqa=True)
    return output[0].transpose(0, 1)
