"""What the views of a layer say of its model: constants, which the cache neither keeps nor counts as a method's bytes.

H KV heads, G query heads per KV head, D head dim, E hidden size.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...methods.heads import ALL, Heads


@dataclass(frozen=True, kw_only=True)
class FromModel:
    """What the policy does not need is empty; the fields are those of a view."""

    scaling: float | None = None  # of the logits; None: 1/sqrt(D)
    output_weight: Tensor = field(default_factory=lambda: torch.empty(0))  # [H, G, D, E]
    frequencies: Tensor = field(default_factory=lambda: torch.empty(0))  # [D / 2], of its rotation
    heads: Heads = ALL  # that are held here
    module: nn.Module | None = None  # its attention
