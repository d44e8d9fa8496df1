"""CurDKV: keep tokens of large key and value leverage.

Sengupta et al., 2025, arXiv 2509.15038. Two versions:

`CurDKV` as published: leverage is the squared norm of a key times that of its value, each as a share of its block of 16
tokens. Deviations: the authors compress the prompt, here it is every `interval` decode steps, and the blocks are of the
tokens that are left, in the order of their positions; the recent slots stay.

`CurDKVVaSE` as VaSE's release runs it (mode `cur_fixed_gauss`): norms seen through one random projection for the whole
generation, per row and layer, shared by keys, values and heads; no blocks.

B rows, H KV heads, N slots, D head dim, R rank.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..kernels import score
from .policy import Eviction, LayerView
from .scores import projection


@dataclass(frozen=True, kw_only=True)
class CurDKVVaSE(Eviction):
    rank: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise ValueError(f"method.rank={self.rank}: use 1 or more")

    @property
    def stochastic(self) -> bool:
        return True

    def projection(self, view: LayerView) -> Tensor:
        """[B, 1, D, R]"""
        return projection(view, torch.zeros_like(view.round), self.rank)

    def score(self, view: LayerView) -> Tensor:
        leverage = score.leverage(view.stored_keys, view.stored_values, self.projection(view)).masked_fill(
            ~view.candidates, 0
        )
        return leverage / leverage.sum(-1, keepdim=True)


@dataclass(frozen=True, kw_only=True)
class CurDKV(Eviction):
    block: int = 16  # tokens among which a leverage is a share

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 1:
            raise ValueError(f"method.block={self.block}: use 1 or more tokens")

    def constants(self, keys: Tensor, values: Tensor) -> Tensor:
        return torch.stack([keys.float().square().sum(-1), values.float().square().sum(-1)], -1)

    def score(self, view: LayerView) -> Tensor:
        num_slots = view.positions.shape[-1]
        line = view.by_position
        norms = view.constants.masked_fill(~view.live[..., None], 0).gather(2, line[..., None].expand(-1, -1, -1, 2))
        blocks = pad(norms, (0, 0, 0, -num_slots % self.block)).unflatten(2, (-1, self.block))
        shares = blocks / blocks.sum(3, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
        leverage = shares.prod(-1).flatten(2)[..., :num_slots]
        return torch.zeros_like(leverage).scatter_(-1, line, leverage / leverage.sum(-1, keepdim=True))
