"""Bounds of the keys of a page, and what they say about a query.

B rows, H KV heads, G query heads per KV head, P pages, D head dim, S pages chosen.
"""

import torch
from torch import Tensor


def bounds(keys: Tensor, page: int) -> tuple[Tensor, Tensor]:
    """Least and greatest keys [B, H, P, D] of keys [B, H, n, D]; the last page may be partial."""
    num_whole, rest = keys.shape[2] // page, keys[:, :, keys.shape[2] // page * page :]
    whole = keys[:, :, : num_whole * page].unflatten(2, (num_whole, page))
    if not rest.shape[2]:
        return whole.amin(3), whole.amax(3)
    low, high = rest.amin(2, keepdim=True), rest.amax(2, keepdim=True)
    return torch.cat([whole.amin(3), low], 2), torch.cat([whole.amax(3), high], 2)


def extend(page_min: Tensor, page_max: Tensor, key: Tensor, slots: Tensor, page: int) -> None:
    """Take one new key [B, H, D] at `slots` [B, H] into the bounds, in place."""
    index = (slots // page).long()[..., None, None].expand(-1, -1, 1, key.shape[-1])
    first = (slots % page == 0)[..., None, None]
    key = key[:, :, None]
    for bound, fold in ((page_min, torch.minimum), (page_max, torch.maximum)):
        bound.scatter_(2, index, torch.where(first, key, fold(bound.gather(2, index), key)))


def score(query: Tensor, page_min: Tensor, page_max: Tensor) -> Tensor:
    """[B, H, G, P] float32: sum over d of max(q_d max_d, q_d min_d), never below any q.k of the page."""
    query = query.float()
    return query.clamp(min=0) @ page_max.float().mT + query.clamp(max=0) @ page_min.float().mT


def top(scores: Tensor, num_pages: Tensor, count: int) -> Tensor:
    """[..., S] int32: the `count` highest pages of scores [..., P] below `num_pages` [...], the last one always.

    -1 where a row has fewer pages than that.
    """
    index = torch.arange(scores.shape[-1], device=scores.device)
    last = num_pages[..., None] - 1
    scores = scores.masked_fill(index == last, torch.inf).masked_fill(index > last, -torch.inf)
    chosen = scores.topk(min(count, scores.shape[-1]), -1).indices
    return chosen.masked_fill(chosen > last, -1).to(torch.int32)
