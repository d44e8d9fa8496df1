"""Oracle: read the tokens that the query at hand truly attends to most, the upper bound of every selection.

A control, of no paper. It reads every key to choose, so it saves nothing; its row shows what the best choice of so
many tokens is worth. A KV head reads one set, that of the largest probability summed over its group; with
`per_query_head` every query head has a set of its own, and a KV head reads up to G times the budget.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, S slots read.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .policy import LayerView, Selection


@dataclass(frozen=True, kw_only=True)
class Oracle(Selection):
    page: int = field(default=1, init=False)
    per_query_head: bool = False

    def read(self, query: Tensor, view: LayerView) -> Tensor:
        logits = query.float() @ view.keys.float().mT * view.scale
        share = logits.masked_fill(~view.live[:, :, None], torch.finfo(logits.dtype).min).softmax(-1)
        live = view.live[:, :, None].expand_as(share)
        if not self.per_query_head:
            share, live = share.sum(2), view.live
        # a live share that underflows still comes before a dead slot
        chosen = share.masked_fill(~live, -1).topk(min(self.budget.tokens, share.shape[-1]), -1).indices
        return chosen.masked_fill(~live.gather(-1, chosen), -1).to(torch.int32)
