"""Bounds of the keys of a page, and what they say about a query.

B rows, H KV heads, G query heads per KV head, N slots, P pages, D head dim, S pages chosen.
"""

import torch
from torch import Tensor

GREATEST = torch.finfo(torch.float32).max


def bounds(keys: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """Least and greatest keys [B, H, P, D] of keys [B, H, n, D]; the last page may be partial."""
    num_whole, rest = keys.shape[2] // page, keys[:, :, keys.shape[2] // page * page :]
    whole = keys[:, :, : num_whole * page].unflatten(2, (num_whole, page))
    if not rest.shape[2]:
        return whole.amin(3), whole.amax(3)
    low, high = rest.amin(2, keepdim=True), rest.amax(2, keepdim=True)
    return torch.cat([whole.amin(3), low], 2), torch.cat([whole.amax(3), high], 2)


def live_bounds(keys: Tensor, lengths: Tensor, page: int) -> tuple[Tensor, Tensor]:
    dead = (torch.arange(keys.shape[2], device=keys.device) >= lengths[..., None])[..., None]
    low = bounds(keys.masked_fill(dead, torch.inf), page)[0]
    high = bounds(keys.masked_fill(dead, -torch.inf), page)[1]
    empty = low > high
    return low.masked_fill(empty, 0), high.masked_fill(empty, 0)


def extend(page_min: Tensor, page_max: Tensor, key: Tensor, slots: Tensor, page: int) -> None:
    """Take one new key [B, H, D] at `slots` [B, H] into the bounds, in place."""
    index = (slots // page).long()[..., None, None].expand(-1, -1, 1, key.shape[-1])
    first = (slots % page == 0)[..., None, None]
    key = key[:, :, None]
    for bound, fold in ((page_min, torch.minimum), (page_max, torch.maximum)):
        bound.scatter_(2, index, torch.where(first, key, fold(bound.gather(2, index), key)))


def score(
    query: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, page: int, per_query_head: bool
) -> Tensor:
    scores = products(query.clamp(max=0), query.clamp(min=0), page_min, page_max, lengths, page)
    return scores if per_query_head else scores.amax(2)


def products(low: Tensor, high: Tensor, page_min: Tensor, page_max: Tensor, lengths: Tensor, page: int) -> Tensor:
    scores = high.float() @ page_max.float().mT + low.float() @ page_min.float().mT
    index, last = last_page(scores, lengths, page)
    return scores.masked_fill(index > last, -torch.inf)


def top(scores: Tensor, lengths: Tensor, page: int, count: int, newest: bool = True) -> Tensor:
    index, last = last_page(scores, lengths, page)
    # the last page still sorts before what is infinite or NaN
    scores = scores.nan_to_num(nan=GREATEST, posinf=GREATEST, neginf=-torch.inf)
    if newest:
        scores = scores.masked_fill(index == last, torch.inf)
    scores = scores.masked_fill(index > last, -torch.inf)
    best = scores.sort(dim=-1, descending=True, stable=True).indices[..., :count]
    ascending = best.masked_fill(best > last, scores.shape[-1]).sort(dim=-1).values
    return ascending.masked_fill(ascending > last, -1).to(torch.int32)


def last_page(scores: Tensor, lengths: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """Numbers of the pages [P], and of the last one that is live, to compare with them."""
    last = (lengths - 1).clamp(min=0) // page
    last = last[..., None] if scores.dim() == 3 else last[..., None, None]
    return torch.arange(scores.shape[-1], device=scores.device), last
