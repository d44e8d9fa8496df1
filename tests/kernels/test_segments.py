"""Attention over sequences behind one another against that over each of them alone."""

import pytest
import torch
from kvarena.kernels.segments import attend_segments
from torch.nn.functional import scaled_dot_product_attention


@pytest.mark.parametrize("lengths", [[5], [1, 130, 7], [64, 0, 3, 0]])
def test_each_sequence_sees_itself_alone(rng, device, lengths):
    """Of four query heads two share a KV head; eleven tokens of padding follow."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    bounds = torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)
    size = sum(lengths) + 11
    query, key, value = (torch.randn(size, heads, 32, generator=rng).to(device, dtype) for heads in (4, 2, 2))
    key[-11:] = value[-11:] = torch.nan  # nobody sees it
    found = attend_segments(query, key, value, bounds, max(lengths), 0.3)
    allowed = 2e-2 if dtype == torch.bfloat16 else 1e-5
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        own = (part[start:end].transpose(0, 1)[None] for part in (query, key, value))
        alone = scaled_dot_product_attention(*own, is_causal=True, scale=0.3, enable_gqa=True)[0].transpose(0, 1)
        torch.testing.assert_close(found[start:end], alone, rtol=allowed, atol=allowed)
