"""How large the values of a text are: max - min over the head dimension, and how much of all of it few slots hold.

L layers, H KV heads, Hq query heads, S tokens of a text, D head dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ...kernels.score import value_range
from ..model import Model, forward, own_attention


@dataclass(kw_only=True)
class Ranges:
    """Dense causal attention that keeps the value range of every token it sees."""

    layers: list[Tensor] = field(default_factory=list)  # [L] of [H, S]

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        self.layers.append(value_range(value)[0])
        output = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()


def value_ranges_of(model: Model, tokens: Sequence[int]) -> Tensor:
    """[L, H, S]"""
    seen = Ranges()
    ids = torch.tensor([tokens], device=model.device)
    with torch.inference_mode(), own_attention(model):
        forward(model, ids, torch.arange(len(tokens), device=model.device)[None], seen)
    return torch.stack(seen.layers)


def top_share(values: Tensor, share: float) -> Tensor:
    """[L]: part of the sum of values [L, H, S] that the largest `share` of a head's slots holds; mean over heads."""
    count = max(1, round(share * values.shape[-1]))
    return (values.topk(count, -1).values.sum(-1) / values.sum(-1)).mean(-1)
