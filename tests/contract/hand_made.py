"""A hand-made view of one layer, and what a policy keeps of it.

Shapes: B rows, H KV heads, G query heads of one, N slots, W queries, D and E dimensions.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from kvarena.kernels import pages
from kvarena.kernels.noise import Noise
from kvarena.methods.policy import LayerView, Policy
from torch import Tensor

Vectors: TypeAlias = Tensor | Sequence | int  # nested lists of numbers


def as_heads(vectors: Vectors, heads_and_rows: int = 4) -> Tensor:
    """Nested lists [N, D] become one row of one head."""
    tensor = torch.as_tensor(vectors, dtype=torch.float32)
    return tensor.view((1,) * (heads_and_rows - tensor.dim()) + tensor.shape)


def view_of(
    policy: Policy,
    keys: Vectors,  # [N, D] or [B, H, N, D]
    values: Vectors | None = None,  # likewise; the keys
    *,
    queries: Vectors | None = None,  # [W, D] or [B, H, G, W, D]
    positions: Vectors | None = None,  # [N] or [B, H, N]; -1: not live; in order
    prompt: int = 0,
    round: int = 0,
    layer: int = 0,
    mass: Vectors | None = None,  # [N] or [B, H, N]
    rank: Vectors | None = None,  # likewise; the positions
    remembered: Vectors | None = None,  # likewise; unseen
    bias: Vectors | None = None,  # likewise; 0
    last_used: Vectors | None = None,  # likewise; the positions
    longest_gap: Vectors | None = None,  # likewise; 0
    output_weight: Vectors | None = None,  # [H, G, D, E]; none
    frequencies: Vectors | None = None,  # [D / 2]; 10,000 ^ (-2 i / D)
    excess: int | None = None,  # live slots over the budget
    seed: int = 0,
) -> LayerView:
    """The view that a cache would show the policy, of vectors given slot by slot: one row of one head, or all."""
    keys = as_heads(keys)
    values = keys if values is None else as_heads(values)
    B, H, N, D = keys.shape
    positions = torch.arange(N) if positions is None else torch.as_tensor(positions)
    positions = positions.to(torch.int32).expand(B, H, N)
    live = positions >= 0
    newest = positions.max() - policy.budget.recent
    candidates = live & (positions <= newest)
    if excess is None:
        excess = max(0, live[0, 0].sum().item() - policy.budget.tokens)
    bounds = pages.bounds(keys, policy.needs.page) if policy.needs.page else keys.new_empty(2, B, H, 0, D)
    return LayerView(
        layer=layer,
        num_layers=4,
        keys=keys,
        values=values,
        positions=positions,
        live=live,
        candidates=candidates,
        evictable=candidates & (positions >= policy.budget.protected(prompt)),
        excess=torch.full((B,), excess, dtype=torch.int32),
        round=torch.full((B,), round, dtype=torch.int32),
        queries=keys.new_empty(B, H, 1, 0, D) if queries is None else as_heads(queries, 5).expand(B, H, -1, -1, -1),
        mass=keys.new_empty(B, H, 0) if mass is None else as_heads(mass, 3).expand(B, H, N),
        rank=positions if rank is None else torch.as_tensor(rank, dtype=torch.int32).expand(B, H, N),
        remembered=torch.full((B, H, N), -1.0) if remembered is None else as_heads(remembered, 3).expand(B, H, N),
        bias=torch.zeros(B, H, N) if bias is None else as_heads(bias, 3).expand(B, H, N),
        last_used=positions if last_used is None else torch.as_tensor(last_used, dtype=torch.int32).expand(B, H, N),
        longest_gap=torch.as_tensor(0 if longest_gap is None else longest_gap, dtype=torch.int32).expand(B, H, N),
        output_weight=torch.empty(0) if output_weight is None else torch.as_tensor(output_weight),
        frequencies=10_000.0 ** (-2 * torch.arange(D // 2) / D) if frequencies is None else torch.tensor(frequencies),
        constants=policy.constants(keys, values),
        page_min=bounds[0],
        page_max=bounds[1],
        noise=Noise(keys=torch.tensor([Noise.key(seed, row, 0) for row in range(B)])),
    )


def kept(policy: Policy, view: LayerView) -> list[list[list[int]]]:
    """kept(policy, view)[row][head]: the positions that survive, sorted."""
    keep = policy.keep(view)
    assert not (keep & ~view.live).any()
    return [
        [sorted(slots[mask].tolist()) for slots, mask in zip(*row, strict=True)]
        for row in zip(view.positions, keep, strict=True)
    ]
