"""Twilight: of the pages that a selection chooses under a generous budget, read those that hold top_p of the attention.

Lin et al., NeurIPS 2025 (tsinghua-ideal/Twilight at 843ebcc). Every query keeps the fewest pages whose shares of the
softmax over all that was chosen add up to `top_p`, so heads and steps read unlike numbers: `tokens_read` of a record is
the mean. Around any selection; Quest unless said otherwise.

Deviations: shares are exact, where the authors estimate them from keys of four bits; whole pages stay or go, where
theirs are tokens; a KV head whose group shares a list goes by the mean of the group's shares. To choose takes a read of
all chosen keys, which is not counted in `tokens_read`, as their four bits are not.

B rows, H KV heads, G query heads per KV head, S pages chosen, T slots of them, D head dim.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .policy import LayerView, Needs, Selection


@dataclass(frozen=True, kw_only=True)
class Twilight(Selection):
    of: Selection
    page: int = field(default=1, init=False)  # that of the selection
    top_p: float = 0.9  # of the attention to what was chosen

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", replace(self.of, budget=self.budget))
        object.__setattr__(self, "page", self.of.page)
        super().__post_init__()
        if not 0 < self.top_p <= 1:
            raise ValueError(f"method.top_p={self.top_p}: use a part above 0, at most 1")

    @property
    def needs(self) -> Needs:
        return self.of.needs

    def tokens_read(self, layer: int, num_layers: int) -> int | None:
        return self.of.tokens_read(layer, num_layers)

    def read(self, query: Tensor, view: LayerView) -> Tensor | None:
        chosen = self.of.read(query, view)
        if chosen is None or self.top_p == 1:
            return chosen
        share = self.shares(query, view, chosen)
        falling, order = share.sort(dim=-1, descending=True, stable=True)
        enough = falling.cumsum(-1) - falling >= self.top_p  # without it
        beyond = torch.zeros_like(enough).scatter_(-1, order, enough) | (chosen < 0)
        last = torch.iinfo(torch.int32).max
        ascending = chosen.masked_fill(beyond, last).sort(dim=-1).values
        return ascending.masked_fill(ascending == last, -1)

    def shares(self, query: Tensor, view: LayerView, chosen: Tensor) -> Tensor:
        """Like `chosen` [B, H, S] or [B, H, G, S], float32: the attention that each page gets, of all of them."""
        slots = (chosen[..., None] * self.page + torch.arange(self.page, device=chosen.device)).flatten(-2).long()
        there = (chosen >= 0).repeat_interleave(self.page, -1)
        own = chosen if chosen.dim() == 4 else chosen[:, :, None]
        slots, there = (each.view(*own.shape[:3], -1) for each in (slots.clamp(min=0), there))  # [B, H, G or 1, T]
        slots = slots.clamp(max=view.live.shape[-1] - 1)
        there = there & view.live[:, :, None].expand(*slots.shape[:3], -1).gather(-1, slots)
        keys = view.keys[:, :, None].expand(*slots.shape[:3], -1, -1)
        keys = keys.gather(3, slots[..., None].expand(*slots.shape, keys.shape[-1]))  # [B, H, G or 1, T, D]
        logits = (query.float()[..., None, :] @ keys.float().mT)[..., 0, :] * view.scale  # [B, H, G, T]
        lowest = torch.finfo(logits.dtype).min  # a row without live slots must not make NaN
        share = logits.masked_fill(~there, lowest).softmax(-1).masked_fill(~there, 0)
        share = share if chosen.dim() == 4 else share.mean(2)
        return share.unflatten(-1, (-1, self.page)).sum(-1)
