"""RocketKV: evict to a number of tokens between the length and the budget, and read of these what the budget allows.

Behnam et al., ICML 2025, arXiv 2502.14051; its arithmetic is that of NVlabs/RocketKV at 63637c8 (gpt-fast). With
`reads` the budget of a step and c = length / reads, a round leaves length / c^alpha slots, alpha = .2 + .06 log2 c, at
most .8: those that the newest queries attend to most, the greatest among `smooth` neighbours (SnapKV). Of the c' times
`reads` that are left a query reads the half of `reads`; the other half of the budget is what it takes to choose them:
key bounds of pages of min(floor c', ceil sqrt c') slots, in the round(D page / c') channels where the group's queries
are largest. A channel takes a page's greatest key where the group's sum is above 0, else its least. Pages are ranked by
a softmax at a temperature for the channels left out, summed over the group.

Reconstructed, for the authors evict once, after a prompt, at a length that they know: here a row evicts while it
decodes, `length` is the one that is expected (null: a round leaves budget.tokens), and neighbours are those that are
still there. Deviations: whole pages are read, where theirs are k tokens; a row of no more than `reads` slots reads all;
pages hold slots as rounds leave them (theirs: in the order of the first score). Bounds are stored by page, with all
channels, so the kernel reads more than the channels it multiplies. As with Quest, `tokens_read` does not count what
choosing takes.

B rows, H KV heads, G query heads per KV head, P pages, D head dim, S pages read.
"""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.functional import pad

from ..kernels import pages
from .budget import Budget
from .policy import Eviction, LayerView, Needs
from .scores import highest_neighbour, mean_softmax, seen_by_window


@dataclass(frozen=True, kw_only=True)
class RocketKV(Eviction):
    selects: ClassVar[bool] = True
    budget: Budget  # of a round; `tokens` follows from `reads` and `length`
    page: int = field(default=1, init=False)
    reads: PositiveInt  # budget of a step, in tokens
    length: PositiveInt | None = None  # tokens that a sequence is expected to have
    smooth: PositiveInt = 63  # width of the pool over neighbours, odd; 1: none

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smooth % 2 == 0:
            raise ValueError(f"method.smooth={self.smooth}: use an odd width, 1 for no smoothing")
        if self.budget.share is not None or self.budget.layers is not None:
            raise ValueError("RocketKV reads a number of tokens, the same in all layers: use compression.tokens")
        if self.length is not None:
            object.__setattr__(self, "budget", replace(self.budget, tokens=kept_between(self.reads, self.length)))
        if self.reads > self.budget.tokens:
            raise ValueError(f"method.reads={self.reads} is above the {self.budget.tokens} tokens that a round leaves")
        object.__setattr__(self, "page", min(math.floor(self.over), math.ceil(math.sqrt(self.over))))

    @property
    def over(self) -> float:
        """How many times what a step may read a round leaves."""
        return self.budget.tokens / self.reads

    @property
    def needs(self) -> Needs:
        return Needs(queries=self.budget.recent, page=self.page if self.page > 1 else 0)

    def tokens_read(self, layer: int, num_layers: int) -> int:
        return max(1, round(self.reads / 2) // self.page) * self.page

    def channels(self, dim: int) -> int:
        """Of `dim`, by which pages are ranked."""
        return min(dim, max(1, round(dim * self.page / self.over)))

    def score(self, view: LayerView) -> Tensor:
        return highest_neighbour(mean_softmax(view, seen_by_window(view)), view, view.positions, self.smooth)

    def read(self, query: Tensor, view: LayerView) -> Tensor:
        page, lengths, most = self.page, view.num_live, -(-self.reads // self.page)
        count = self.tokens_read(view.layer, view.num_layers) // page
        best = pages.top(self.shares(query, view), lengths, page=page, count=count, newest=False)
        each = torch.arange(most, dtype=torch.int32, device=query.device)
        all_pages = each.where(each * page < lengths[..., None], -1)
        few = (lengths <= self.reads)[..., None]
        return torch.where(few, all_pages, pad(best, (0, most - best.shape[-1]), value=-1))

    def shares(self, query: Tensor, view: LayerView) -> Tensor:
        """[B, H, P] float32: the attention that a slot of each page is expected to get, summed over the group."""
        low, high = (view.keys, view.keys) if self.page == 1 else (view.page_min, view.page_max)
        size = query.float().abs()
        largest = size.sum(2, keepdim=True).topk(self.channels(query.shape[-1]), dim=-1).indices
        others = torch.ones_like(size[:, :, :1], dtype=torch.bool).scatter_(-1, largest, False)
        own = query.masked_fill(others, 0)
        rising = own.float().sum(2, keepdim=True) > 0
        logits = pages.products(
            own.masked_fill(rising, 0), own.masked_fill(~rising, 0), low, high, view.num_live, page=self.page
        )
        tiny = torch.finfo(torch.float32).tiny
        part = own.float().abs().sum(-1, keepdim=True) / size.sum(-1, keepdim=True).clamp(min=tiny)
        first = self.page * torch.arange(logits.shape[-1], device=query.device)
        slots = (view.num_live[..., None] - first).clamp(1, self.page)[:, :, None]  # of a page, the last one's fewer
        heat = logits * (view.scale / part.clamp(min=tiny).sqrt())
        return ((heat + slots.log()).softmax(-1) / slots).sum(2)


def kept_between(reads: int, length: int) -> int:
    """Slots that a round leaves of a sequence of so many tokens."""
    ratio = max(1.0, length / reads)
    return int(max(length, reads) / ratio ** min(0.2 + 0.06 * math.log2(ratio), 0.8))
