"""Projections of the same input as one matrix product: the weights are read at a higher rate.

A model keeps its modules and their order of calls: the first projection of a group computes all of them, the others
hand out what is waiting. Works on every decoder layer with separate projections; what has none is left as it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .model import Model

# in the order of their calls
GROUPS = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))


class First(nn.Module):
    def __init__(self, linears: Sequence[nn.Linear], waiting: list[Tensor]) -> None:
        super().__init__()
        self.sizes = [linear.out_features for linear in linears]
        self.weight = nn.Parameter(torch.cat([linear.weight.data for linear in linears]), requires_grad=False)
        biases = [linear.bias.data for linear in linears if linear.bias is not None]
        self.bias = nn.Parameter(torch.cat(biases), requires_grad=False) if biases else None
        self.waiting = waiting

    def forward(self, hidden: Tensor) -> Tensor:
        first, *others = nn.functional.linear(hidden, self.weight, self.bias).split(self.sizes, -1)
        self.waiting[:] = others
        return first


class Next(nn.Module):
    def __init__(self, waiting: list[Tensor]) -> None:
        super().__init__()
        self.waiting = waiting

    def forward(self, hidden: Tensor) -> Tensor:
        return self.waiting.pop(0)


def fuse(model: Model) -> None:
    """Replace the projections in place, layer by layer, so that no more than one group is held twice."""
    for layer in model.model.layers:
        for owner, names in GROUPS:
            module = getattr(layer, owner, None)
            linears = [linear for name in names if isinstance(linear := getattr(module, name, None), nn.Linear)]
            if len(linears) < len(names) or len({linear.bias is None for linear in linears}) == 2:
                continue
            waiting: list[Tensor] = []
            setattr(module, names[0], First(linears, waiting))
            for name in names[1:]:
                setattr(module, name, Next(waiting))
