"""Quest: keep everything, read the pages whose key bounds promise the largest logits for the query at hand.

Tang et al., 2024, arXiv 2406.10774. The last page is always read, as in the authors' kernels, and the first two layers
are dense. Their evaluation code gives the last page no such right and reads three pages at least: `newest=false
least=3`. With `per_query_head` every query head
chooses its pages, as the authors have it; a KV head then reads their union, up to G times the budget, and that is what
is accounted. Deviation without it: a KV head reads one set of pages for its whole group, by the largest bound among
the group's queries.

G query heads per KV head.
"""

from dataclasses import dataclass

from pydantic import PositiveInt
from torch import Tensor

from ..kernels import pages
from .policy import LayerView, Needs, Selection


@dataclass(frozen=True, kw_only=True)
class Quest(Selection):
    page: int = 16
    dense_layers: int = 2  # so many first layers read everything
    per_query_head: bool = False
    newest: bool = True  # the last page is read whatever its bound
    least: PositiveInt = 1  # pages, where the budget has fewer

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dense_layers < 0:
            raise ValueError(f"method.dense_layers={self.dense_layers}: use 0 or more")

    @property
    def needs(self) -> Needs:
        return Needs(page=self.page)

    def tokens_read(self, layer: int, num_layers: int) -> int | None:
        return None if layer < self.dense_layers else self.budget.tokens

    def read(self, query: Tensor, view: LayerView) -> Tensor | None:
        if view.layer < self.dense_layers:
            return None
        lengths = view.num_live
        bound = pages.score(
            query, view.page_min, view.page_max, lengths, page=self.page, per_query_head=self.per_query_head
        )
        count = max(self.budget.tokens // self.page, self.least)
        return pages.top(bound, lengths, page=self.page, count=count, newest=self.newest)
