"""The variance in PyTorch, a block of slots after the other.

B rows, H KV heads, G query heads per KV head, N slots, D head dim.
"""

import torch
from torch import Tensor

from ..attend import BLOCK, Attended
from ..attend.reference import probabilities
from ..pack import Stored

LEAST = 1 / 16  # of 1 - p: below it the rounding of a half-precision output would speak


def variance(
    query: Tensor, keys: Stored, values: Stored, lengths: Tensor, attended: Attended, scale: float, bias: Tensor
) -> Tensor:
    output = attended.output.float()
    slots = torch.arange(keys.shape[2], device=query.device)
    total = torch.zeros_like(attended.lse)
    for number, probability in enumerate(probabilities(query, keys, attended.lse, scale, bias)):
        block = slice(number * BLOCK, (number + 1) * BLOCK)
        uncertain = -torch.expm1(-bias[:, :, None, block])  # [B, H, 1, BLOCK]
        # dead slots, whose bias is 0, weigh nothing whatever they hold
        dead = (slots[block] >= lengths[..., None])[:, :, None] | (uncertain == 0)
        away = distances(output, values[:, :, block].float())
        odds = probability / (1 - probability).clamp(min=LEAST)
        total += (uncertain * odds.square() * away).masked_fill_(dead, 0).sum(-1)
    return total


def distances(output: Tensor, values: Tensor) -> Tensor:
    """[B, H, G, N]: squared, of outputs [B, H, G, D] from values [B, H, N, D]."""
    products = output @ values.mT
    squares = output.square().sum(-1, keepdim=True) + values.square().sum(-1)[:, :, None]
    return (squares - 2 * products).clamp_(min=0)
