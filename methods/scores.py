"""Scores that several methods share.

B rows, H KV heads, G query heads per KV head, N slots, W window, D head dim, R rank of a projection.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..kernels import noise, pool, score
from .policy import LayerView


def window_attention(view: LayerView) -> Tensor:
    """[B, H, N] float32: attention of the window's queries to the candidates, mean over window and group.

    The softmax runs over the candidates alone: the recent slots take no share (VaSE's release).
    """
    return mean_softmax(view, view.candidates[:, :, None])


def mean_softmax(view: LayerView, support: Tensor) -> Tensor:
    """[B, H, N] float32: softmax of the kept queries over `support` [B, H, 1 or W, N], mean over window and group."""
    return score.mean_softmax(view.queries, view.stored_keys, support, view.scale)


def query_shares(view: LayerView, support: Tensor) -> Iterator[Tensor]:
    """[B, H, W, N] float32: softmax of the kept queries over `support`, one query head of a group after the other."""
    keys = view.keys.float().mT
    for queries in view.queries.unbind(2):  # no [Hq, W, N] tensor
        yield (queries.float() * view.scale @ keys).masked_fill_(~support, -torch.inf).softmax(-1)


def seen_by_window(view: LayerView) -> Tensor:
    """[B, H, W, N] bool: the live slots that each query of the window attended to, its own token included."""
    return view.live[:, :, None] & (view.positions[:, :, None] <= asked_at(view)[..., None])


def asked_at(view: LayerView) -> Tensor:
    """[B, H, W]: position of each kept query; below 0 where the sequence is shorter than the window."""
    width = view.queries.shape[3]
    ago = torch.arange(width - 1, -1, -1, device=view.positions.device)
    return view.positions.amax(-1)[..., None] - ago


def turned(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Vectors [..., D], whose channels i and i + D / 2 are turned together, by angles of these [..., D / 2]."""
    first, second = vectors.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def mean_over_heads(score: Tensor, view: LayerView) -> Tensor:
    """[B, H, N]: mean over the layer's KV heads, which hold the same positions, but not in the same slots."""
    lined = view.heads.of_all(score.gather(-1, view.by_position))
    mean = lined.mean(1, keepdim=True).expand_as(score)
    return torch.empty_like(score).scatter_(-1, view.by_position, mean)


def smooth(score: Tensor, view: LayerView, order: Tensor, width: int) -> Tensor:
    """Average each candidate with its neighbours among the candidates sorted by `order`, padding counted as zeros.

    score [B, H, N], or [B, H, W, N].
    """
    # without neighbours nobody asks for an order: there may be none
    return of_candidates(score, view) if width == 1 else pool.mean(score, order, view.candidates, width)


def highest_neighbour(score: Tensor, view: LayerView, order: Tensor, width: int) -> Tensor:
    """The greatest score, none below 0, among each candidate and its neighbours by `order`."""
    return of_candidates(score, view) if width == 1 else pool.highest(score, order, view.candidates, width)


def of_candidates(score: Tensor, view: LayerView) -> Tensor:
    """Scores [B, H, N] or [B, H, W, N], 0 for all others."""
    return torch.where(view.candidates[:, :, None] if score.dim() == 4 else view.candidates, score, 0)


def mean_cosine(view: LayerView) -> Tensor:
    """[B, H, N] float32: mean cosine of a candidate's key with the other candidates', in O(N D).

    The mean divides by the number of candidates, its own zero counted. R-KV's redundancy before the softmax.
    """
    return score.mean_cosine(view.stored_keys, view.candidates)


def draw(log_weights: Tensor, view: LayerView) -> Tensor:
    """[B, H, N] float32 whose n highest are a sample of n without replacement, by weights exp(log_weights).

    Sums of a log and Gumbel noise: nothing underflows, none is drawn twice, and weights of 0 come after all others.
    """
    return log_weights + slot_gumbel(view)


def highest_victim(score: Tensor, view: LayerView, keep: Tensor) -> Tensor:
    """[B, H, 1]: the score that a slot had to exceed to stay beside the others of `keep` [B, H, N]; -inf: any."""
    return score.masked_fill(keep | ~view.evictable, -torch.inf).amax(-1, keepdim=True)


def slot_uniform(view: LayerView, *, shared: bool = False, stream: int = noise.SLOTS) -> Tensor:
    """[B, H, N] float32 in (0, 1): one number per position, head (all alike where `shared`), layer and round."""
    positions, heads, epoch, _ = _slot_counter(view)
    return view.noise.uniform(positions, torch.zeros_like(heads) if shared else heads, epoch, stream)


def slot_gumbel(view: LayerView) -> Tensor:
    """[B, H, N] float32: standard Gumbel noise per position, head, layer and round."""
    return view.noise.gumbel(*_slot_counter(view))


def _slot_counter(view: LayerView) -> tuple[Tensor, Tensor, Tensor, int]:
    heads = view.heads.first + torch.arange(view.positions.shape[1], device=view.positions.device)[:, None]
    return view.positions.clamp(min=0), heads, _epoch(view, view.round)[:, None, None], noise.SLOTS


def projection(view: LayerView, round: Tensor, rank: int) -> Tensor:
    """[B, 1, D, R] float32: Gaussian of variance 1 / R, one per row, layer and `round` [B], shared by heads."""
    dim = view.stored_keys.shape[-1]
    element = torch.arange(dim * rank, device=view.stored_keys.device)[None]
    normal = view.noise.normal(element, 0, _epoch(view, round)[:, None], noise.PROJECTION)
    return normal.view(-1, 1, dim, rank) / math.sqrt(rank)


def _epoch(view: LayerView, round: Tensor) -> Tensor:
    return round.long() + view.layer * noise.ROUNDS
