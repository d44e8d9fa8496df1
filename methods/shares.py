"""How slots are shared out by demand, robustly and exactly: ReasonAlloc's rule, for layers and for heads.

M sharers.
"""

import torch
from torch import Tensor


def robust_shares(demand: Tensor, *, gamma: float, least: float, most: float | None) -> Tensor:
    """[..., M] float64 that sum to 1: demand [..., M] to the power of gamma, cut to `least` and `most` times the mean.

    Demands of 0 throughout have shares of 0.
    """
    power = demand.double() ** gamma
    mean = power.mean(-1, keepdim=True)
    cut = power.clamp(min=least * mean, max=None if most is None else most * mean)
    return cut / cut.sum(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)


def raised(shares: Tensor, floor: float) -> Tensor:
    """[M] that sum to 1: what is below the floor is raised to it, and the others give in proportion. On the host."""
    assert floor * len(shares) <= 1
    low = torch.zeros_like(shares, dtype=torch.bool)
    while True:
        left = 1 - floor * low.sum()
        fitted = torch.where(low, floor, shares * left / shares[~low].sum())
        if not (below := (fitted < floor) & ~low).any():
            return fitted
        low |= below


def whole_slots(parts: Tensor, total: Tensor) -> Tensor:
    """[..., M] int64 that sum to `total` [...], as parts [..., M] float64 do but for rounding: the largest remainders
    are rounded up, of equal ones the first."""
    floor = parts.floor()
    left = total - floor.sum(-1)
    place = (parts - floor).argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    return (floor + (place < left[..., None])).long()
