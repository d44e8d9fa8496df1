"""Quest's pages: what the bounds of their keys promise a query, and which of them to read.

A prompt's bounds come from `bounds`; `append` takes each later token into them, as `extend` says it in PyTorch.

B rows, H KV heads, G query heads per KV head, P pages, D head dim, S pages chosen.
"""

from torch import Tensor

from . import reference
from .reference import bounds, extend

__all__ = ["bounds", "extend", "score", "top"]


def score(
    query: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, *, page: int, per_query_head: bool
) -> Tensor:
    """float32: sum over d of max(q_d max_d, q_d min_d), never below any q.k of the page; -inf beyond the last page.

    query [B, H, G, D], bounds [B, H, P, D], lengths [B, H] slots that are live. [B, H, G, P] per query head, else
    [B, H, P], the largest of the group.
    """
    if query.is_cuda:
        from . import kernel

        return kernel.score(query, page_min, page_max, lengths, page, per_query_head)
    return reference.score(query, page_min, page_max, lengths, page, per_query_head)


def top(scores: Tensor, lengths: Tensor, *, page: int, count: int, newest: bool = True) -> Tensor:
    """[..., S] int32: the `count` pages of highest score, the last one among them if `newest`; of equal ones the lower.

    scores [B, H, P] or [B, H, G, P], lengths [B, H]. Pages in ascending order, then -1 where a row has fewer. NaN
    counts as the highest score; a row without live slots has one page.
    """
    if scores.is_cuda:
        from . import kernel

        return kernel.top(scores, lengths, page, count, newest)
    return reference.top(scores, lengths, page, count, newest)
