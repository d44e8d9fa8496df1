"""A scorer as kvpress has them, made by hand.

B rows, H KV heads, n slots, D head dim.
"""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Spread:
    """Keep the keys that are furthest from the mean of all, and values that are large."""

    compression_ratio: float = 0.0

    def score(
        self,
        module: nn.Module,
        hidden_states: Tensor,
        keys: Tensor,
        values: Tensor,
        attentions: Tensor | None,
        kwargs: dict,
    ) -> Tensor:
        """[B, H, n] of keys and values [B, H, n, D]."""
        return (keys - keys.mean(2, keepdim=True)).norm(dim=-1) + values.norm(dim=-1)
