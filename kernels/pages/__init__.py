"""Pages, Quest's and RocketKV's: what the bounds of their keys promise a query, and which of them to read.

A prompt's bounds come from `bounds`; `append` takes each later token into them, as `extend` says it in PyTorch. A round
moves slots from page to page: what is left has the bounds of `live_bounds`.

B rows, H KV heads, G query heads per KV head, N slots, P pages, D head dim, S pages chosen.
"""

from torch import Tensor

from ..pack import Stored
from . import reference
from .reference import bounds, extend

__all__ = ["bounds", "extend", "live_bounds", "products", "score", "top"]


def live_bounds(keys: Stored, lengths: Tensor, *, page: int) -> tuple[Tensor, Tensor]:
    """Least and greatest keys [B, H, P, D], of the model's dtype, of the first `lengths` [B, H] slots of keys
    [B, H, N, D]; 0 for pages without any.
    """
    keys = keys if isinstance(keys, Tensor) else keys.float().to(keys.dtype)
    if keys.is_cuda:
        from . import kernel

        return kernel.live_bounds(keys, lengths, page)
    return reference.live_bounds(keys, lengths, page)


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


def products(low: Tensor, high: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, *, page: int) -> Tensor:
    """[B, H, G, P] float32: low . min + high . max of each page; -inf beyond the last page.

    low, high [B, H, G, D]: the channels of a query that take the least key and those that take the greatest, 0 in the
    others. With the negative and the positive ones it is `score`.
    """
    if high.is_cuda:
        from . import kernel

        return kernel.products(low, high, page_min, page_max, lengths, page)
    return reference.products(low, high, page_min, page_max, lengths, page)


def top(scores: Tensor, lengths: Tensor, *, page: int, count: int, newest: bool = True) -> Tensor:
    """[..., S] int32: the `count` pages of highest score, the last one among them if `newest`; of equal ones the lower.

    scores [B, H, P] or [B, H, G, P], lengths [B, H]. Pages in ascending order, then -1 where a row has fewer. NaN
    counts as the highest score; a row without live slots has one page.
    """
    if scores.is_cuda:
        from . import kernel

        return kernel.top(scores, lengths, page, count, newest)
    return reference.top(scores, lengths, page, count, newest)
