"""Philox-4x32-10 in PyTorch.

Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011). 32-bit words are carried in int64:
a product wraps modulo 2^64, so shift and mask still read its high word exactly.
"""

import torch
from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF


def philox(keys: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Four 32-bit words (int64) of the shape that keys and counters broadcast to."""
    k0, k1, c0, c1, c2, c3 = torch.broadcast_tensors(*keys, *counter)
    key, even, odd = torch.stack([k0, k1]), torch.stack([c0, c2]), torch.stack([c1, c3])
    pair = [2] + [1] * (key.dim() - 1)
    multiplier, weyl = (torch.tensor(pair_of, device=key.device).view(pair) for pair_of in (MULTIPLIERS, WEYL))
    for _ in range(10):
        product = even * multiplier
        even, odd = ((product >> 32) & MASK).flip(0) ^ odd ^ key, (product & MASK).flip(0)
        key = (key + weyl) & MASK
    return even[0], odd[0], even[1], odd[1]


def uniform(word: Tensor) -> Tensor:
    """float32 in (0, 1): the middle of one of 2^23 cells, so neither end is reached and no value is rounded."""
    return ((word >> 9).to(torch.float32) + 0.5) * 2.0**-23
