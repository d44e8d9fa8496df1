"""Expected attention: keep what the queries to come are expected to attend to, by how the newest ones are spread.

Devoto, Jeblick, Jégou, 2025, arXiv 2510.00636, as kvpress has it (ExpectedAttentionPress, 08a43bf). Queries before
their rotation are taken for Gaussian, and the positions of the next `future` tokens for one mean rotation. The expected
weight of a key then is exp(its mean logit + half the variance of its logits); softmax over the live slots, mean over
the group, times the norm of the value. The first `sinks` tokens stay, and count neither as queries nor in the softmax.

A rotation is orthogonal, so queries need no second ring: those of the last `window` tokens are turned on by their own
distance to the newest one, which is where they would be if they had been asked there. So positions are true ones, and a
layer that normalises its queries (Qwen3, which kvpress refuses) is as good as any. The state is the ring of queries,
`window` of each query head.

Deviations: the newest `window` queries (kvpress: all of the prompt; while it decodes, those that its buffer holds,
whose positions it counts from the buffer's beginning); the newest `recent` slots stay.

B rows, H KV heads, G query heads per KV head, N slots, W window, F future positions, D head dim.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import Eviction, LayerView, Needs
from .scores import asked_at, turned


@dataclass(frozen=True, kw_only=True)
class ExpectedAttention(Eviction):
    window: int = 128  # newest queries
    future: int = 512  # positions ahead that are expected alike
    covariance: bool = True  # false: by the mean query alone
    value_norm: bool = True  # false: by attention alone
    epsilon: float = 0.0  # added to the attention before the norm

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("window", "future"):
            if getattr(self, name) < 1:
                raise ValueError(f"method.{name}={getattr(self, name)}: use 1 or more tokens")
        if self.epsilon < 0:
            raise ValueError(f"method.epsilon={self.epsilon}: use 0 or more")

    @property
    def needs(self) -> Needs:
        return Needs(queries=self.window, rotation=True)

    def score(self, view: LayerView) -> Tensor:
        share = self.attention(view)
        if not self.value_norm:
            return share
        return ((share + self.epsilon) * view.values.float().norm(dim=-1)).masked_fill(~view.live, 0)

    def attention(self, view: LayerView) -> Tensor:
        """[B, H, N]: sums to 1 over the live slots but the sinks."""
        ahead = torch.arange(1, self.future + 1, device=view.keys.device)[:, None] * view.frequencies  # [F, D / 2]
        # to turn the queries by a mean is to turn the keys by its transpose
        keys = turned(view.keys.float(), ahead.cos().mean(0), -ahead.sin().mean(0)) * view.scale
        asked = asked_at(view)  # [B, H, W]
        ago = (asked[..., -1:] - asked)[..., None] * view.frequencies  # [B, H, W, D / 2]
        cos, sin = ago.cos()[:, :, None], ago.sin()[:, :, None]
        counted = (asked >= self.budget.sinks)[..., None].float()  # [B, H, W, 1]
        part = counted / counted.sum(2, keepdim=True).clamp(min=1)
        support = view.live & (view.positions >= self.budget.sinks)
        total = torch.zeros_like(view.positions, dtype=torch.float32)
        for queries in turned(view.queries.float(), cos, sin).unbind(2):
            mean = (part * queries).sum(2, keepdim=True)  # [B, H, 1, D]
            logits = (keys @ mean.mT).squeeze(-1)
            if self.covariance:
                centered = queries - mean
                covariance = (part * centered).mT @ centered
                logits = logits + ((keys @ covariance) * keys).sum(-1) / 2
            total += logits.masked_fill(~support, -torch.inf).softmax(-1)
        return total / view.queries.shape[2]
