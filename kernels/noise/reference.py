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
    k0, k1 = keys
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> 32) & MASK ^ c1 ^ k0, p1 & MASK, (p0 >> 32) & MASK ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def uniform(word: Tensor) -> Tensor:
    """float32 in (0, 1): the middle of one of 2^23 cells, so neither end is reached and no value is rounded."""
    return ((word >> 9).to(torch.float32) + 0.5) * 2.0**-23
