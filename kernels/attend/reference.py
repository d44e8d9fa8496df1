"""Decode attention in PyTorch: an online softmax over blocks of slots.

Every block has the same shape for every row and step, and a block without live slots changes nothing, bit for bit. So
the result of a row does not depend on how long its neighbours are, which one call over the longest row does not give.

B rows, H KV heads, G query heads per KV head, N slots (a multiple of BLOCK), D head dim, P pages.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..pack import Stored

BLOCK = 64
LOWEST = -1e30  # finite: a block without live slots must not make NaN of inf - inf


def attend(
    query: Tensor,
    keys: Stored,
    values: Stored,
    lengths: Tensor,
    longest: int,
    scale: float,
    reads: Tensor | None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Output [B, H, G, D] in the dtype of the query and log-sum-exp [B, H, G] float32."""
    scaled = query.float() * scale
    top = total = output = scaled.new_empty(0)
    slots = torch.arange(keys.shape[2], device=keys.device)
    for start in range(0, longest, BLOCK):
        block = slice(start, start + BLOCK)
        dead = (slots[block] >= lengths[..., None])[:, :, None]
        if reads is not None:
            dead = dead | ~reads[..., block]
        logits = scaled @ keys[:, :, block].float().mT
        if bias is not None:
            logits += bias[:, :, None, block]
        logits.masked_fill_(dead, LOWEST)
        before, top = top, logits.amax(-1, keepdim=True)
        if start:
            top = torch.maximum(before, top)
        # dead slots weigh exp(LOWEST - top) = 0; where nothing was live yet they weigh 1, and the first live slot
        # shrinks that to 0
        weights = logits.sub_(top).exp_()
        here = weights.sum(-1, keepdim=True), weights @ values[:, :, block].float()
        if start:
            shrink = (before - top).exp_()
            total, output = total * shrink + here[0], output * shrink + here[1]
        else:
            total, output = here
    return (output / total).to(query.dtype), (top + total.log()).squeeze(-1)


def mass(query: Tensor, keys: Stored, lengths: Tensor, lse: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """[B, H, N] float32: probability of each slot, mean over the group; 0 where not live. By blocks of slots."""
    blocks = [block.mean(2) for block in probabilities(query, keys, lse, scale, bias)]
    live = torch.arange(keys.shape[2], device=keys.device) < lengths[..., None]
    return torch.cat(blocks, -1).masked_fill_(~live, 0)


def note_uses(
    last_used: Tensor,
    longest_gap: Tensor,
    query: Tensor,
    keys: Stored,
    lengths: Tensor,
    lse: Tensor,
    position: Tensor,
    scale: float,
    least: float,
    bias: Tensor | None = None,
) -> None:
    place, slots = position[:, None, None].to(torch.int32), torch.arange(keys.shape[2], device=keys.device)
    newest = slots == lengths[..., None] - 1
    last_used.copy_(torch.where(newest, place - 1, last_used))
    longest_gap.masked_fill_(newest, 0)
    most = torch.cat([block.amax(2) for block in probabilities(query, keys, lse, scale, bias)], -1)
    used = (most >= least) & (slots < lengths[..., None])
    longest_gap.copy_(torch.where(used, torch.maximum(longest_gap, place - last_used), longest_gap))
    last_used.copy_(torch.where(used, place, last_used))


def probabilities(
    query: Tensor, keys: Stored, lse: Tensor, scale: float, bias: Tensor | None = None
) -> Iterator[Tensor]:
    """[B, H, G, BLOCK] float32, of one block of slots after the other."""
    scaled, norm = query.float() * scale, lse[..., None]
    for start in range(0, keys.shape[2], BLOCK):
        logits = scaled @ keys[:, :, start : start + BLOCK].float().mT
        if bias is not None:
            logits += bias[:, :, None, start : start + BLOCK]
        yield (logits - norm).exp_()


def slots_of_pages(pages: Tensor, page: int, num_slots: int) -> Tensor:
    """[B, H, 1 or G, N] bool: which slots a list of pages [B, H, S] or [B, H, G, S] (-1: none) covers."""
    pages = pages[:, :, None] if pages.dim() == 3 else pages
    num_pages = -(-num_slots // page)
    read = torch.zeros(*pages.shape[:3], num_pages + 1, dtype=torch.bool, device=pages.device)
    read.scatter_(-1, pages.long() % (num_pages + 1), True)  # -1 falls into the column that is cut off
    return read[..., :num_pages].repeat_interleave(page, -1)[..., :num_slots]


def num_reads(lengths: Tensor, pages: Tensor, page: int, num_slots: int) -> Tensor:
    """[B] int64: live slots that a list of pages covers, for any query head of a KV head, summed over these."""
    live = torch.arange(num_slots, device=pages.device) < lengths[..., None]
    return (slots_of_pages(pages, page, num_slots).any(2) & live).sum((1, 2))
