"""Attention of one new query per row over the live slots of a compact cache, with its log-sum-exp.

Slots may stand in any order (keys carry their rotation). Heads of a row may have different lengths. A bias, where
there is one, is added to the logit of each slot: one that stands for n tokens has log n.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, S pages read.
"""

from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

from ..pack import Stored
from . import reference
from .reference import BLOCK

__all__ = ["BLOCK", "Attended", "add_mass", "add_reads", "attend", "check_head_dim", "note_uses"]


class Attended(NamedTuple):
    output: Tensor  # [B, H, G, D]
    lse: Tensor  # [B, H, G] float32: log of the sum of exp(scale * q.k) over the slots read


def check_head_dim(dim: int, device: torch.device) -> None:
    """ValueError where a head size or a machine without Triton keeps the kernels from running on a device."""
    if device.type != "cuda":
        return
    if find_spec("triton") is None:
        raise ValueError(f"device={device} needs Triton for its kernels: pip install 'kvarena[gpu]', or use device=cpu")
    from . import kernel

    kernel.check_head_dim(dim)


def attend(
    query: Tensor,
    keys: Stored,
    values: Stored,
    lengths: Tensor,
    *,
    longest: int,
    scale: float,
    pages: Tensor | None = None,
    page: int = 0,
    bias: Tensor | None = None,
) -> Attended:
    """Softmax attention over slots below `lengths` [B, H], each at least 1 and at most `longest`.

    query [B, H, G, D]; keys, values [B, H, N, D] with N a multiple of BLOCK; pages [B, H, S] or [B, H, G, S] int32 with
    -1 for none: read these pages of `page` slots only, each named once. bias [B, H, N] float32; None: 0 everywhere.
    """
    if query.is_cuda:
        from . import kernel

        return Attended(*kernel.attend(query, keys, values, lengths, scale, pages, page, bias))
    reads = None if pages is None else reference.slots_of_pages(pages, page, keys.shape[2])
    return Attended(*reference.attend(query, keys, values, lengths, longest, scale, reads, bias))


def add_mass(
    mass: Tensor,
    query: Tensor,
    keys: Stored,
    lengths: Tensor,
    lse: Tensor,
    *,
    scale: float,
    decay: float = 1.0,
    bias: Tensor | None = None,
) -> None:
    """Add each slot's probability, mean over the group, to `decay` times its mass [B, H, N] float32, in place."""
    if query.is_cuda:
        from . import kernel

        kernel.add_mass(mass, query, keys, lengths, lse, scale, decay, bias)
    else:
        if decay != 1:
            mass *= decay
        mass += reference.mass(query, keys, lengths, lse, scale, bias)


def note_uses(
    last_used: Tensor,
    longest_gap: Tensor,
    query: Tensor,
    keys: Stored,
    lengths: Tensor,
    lse: Tensor,
    position: Tensor,
    *,
    scale: float,
    least: float,
    bias: Tensor | None = None,
) -> None:
    """Record which slots the queries of `position` [B] use: those that any of a group gives `least` of probability.

    last_used, longest_gap [B, H, N] int32, in place. The newest slot, at the end, counts as used a position ago.
    """
    record = last_used, longest_gap, query, keys, lengths, lse, position, scale, least, bias
    if query.is_cuda:
        from . import kernel

        kernel.note_uses(*record)
    else:
        reference.note_uses(*record)


def add_reads(
    total: Tensor, lengths: Tensor, active: Tensor, *, pages: Tensor | None, page: int, num_slots: int
) -> None:
    """Add the slots that a step reads, all heads together, to total [B] int64, in place, where `active` [B] is 1.

    pages as `attend` takes them, of `num_slots`; a slot that several query heads of a KV head read counts once.
    """
    if pages is None:
        total += lengths.sum(-1) * active
    elif total.is_cuda:
        from . import kernel

        kernel.add_reads(total, lengths, active, pages, page, num_slots)
    else:
        total += reference.num_reads(lengths, pages, page, num_slots) * active
