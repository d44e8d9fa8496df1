"""LagKV: keep what varies most over the channels, each scaled to its range among the tokens that follow.

arXiv 2504.04704, as kvpress has it (LagKVPress, 08a43bf). After the sinks the live tokens, by position, fall into parts
of `lag`. A key is scaled, channel by channel, by the least and greatest of the next part; its deviation over channels
goes through a softmax over the part, and so does the value's. The mean of both ranks the tokens of a part, and tokens
of the same rank in different parts are equals, of which the older goes first. What has no whole part behind it stays
before all others; where there are no two parts, the oldest goes. No queries are needed.

Deviations: parts are formed anew at every round from what is left, as kvpress would if it were asked again; `lag` null
is 128, kvpress's, or a quarter of the budget where that is less, for budgets that would never hold two parts; a channel
without a range counts as 0 (kvpress: not a number).

B rows, H KV heads, N slots, P parts, D head dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import Eviction, LayerView

LAG = 128


@dataclass(frozen=True, kw_only=True)
class LagKV(Eviction):
    lag: int | None = None  # tokens of a part; None: 128, or a quarter of the budget if that is less

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lag is not None and self.lag < 2:
            raise ValueError(f"method.lag={self.lag}: use 2 or more tokens, or null")

    def score(self, view: LayerView) -> Tensor:
        lag = max(2, min(LAG, self.budget.tokens // 4)) if self.lag is None else self.lag
        sinks, slots = self.budget.sinks, view.positions.shape[2]
        parts = (slots - sinks) // lag
        line = view.by_position
        score = torch.ones_like(view.positions, dtype=torch.float32)
        if parts > 1:
            inside = line[..., sinks : sinks + parts * lag]
            # of half the sum the order is that of the sum
            ranked = share_of_part(view.keys, inside, lag) + share_of_part(view.values, inside, lag)
            rank = ranked.argsort(dim=-1, stable=True).argsort(-1) / lag  # [B, H, P - 1, lag]
            # a part counts where the next one is whole
            ends = sinks + lag * torch.arange(2, parts + 1, device=line.device)
            whole = ends <= view.num_live[..., None]
            rank = torch.where(whole[..., None], rank, 1.0).flatten(2)
            score.scatter_(-1, inside[..., : (parts - 1) * lag], rank)
        return score


def share_of_part(column: Tensor, inside: Tensor, lag: int) -> Tensor:
    """[B, H, P - 1, lag]: keys or values [B, H, N, D] of slots `inside` [B, H, P lag], each part by the next."""
    dim = column.shape[-1]
    lined = column.float().gather(2, inside[..., None].expand(*inside.shape, dim)).unflatten(2, (-1, lag))
    own, following = lined[:, :, :-1], lined[:, :, 1:]
    least, greatest = following.amin(3, keepdim=True), following.amax(3, keepdim=True)
    scaled = ((own - least) / (greatest - least)).masked_fill(greatest == least, 0)
    return scaled.std(-1).softmax(-1)
