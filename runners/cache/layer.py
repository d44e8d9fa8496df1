"""One layer's memory: columns of slots that an eviction permutes, and what belongs to the row as a whole.

B rows, L layers, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...kernels import attend
from ...methods.policy import Needs, Policy


class Shape(NamedTuple):
    layers: int
    heads: int
    groups: int
    dim: int


def whole(capacity: int, needs: Needs) -> tuple[int, int]:
    """Slots and pages for a capacity, in whole blocks of the attention."""
    slots = -(-capacity // attend.BLOCK) * attend.BLOCK
    return slots, -(-slots // needs.page) if needs.page else 0


@dataclass(kw_only=True)
class Layer:
    """Columns of one layer. What the policy does not need has no elements."""

    keys: Tensor  # [B, H, N, D]
    values: Tensor  # [B, H, N, D]
    positions: Tensor  # [B, H, N] int32, -1 where no token ever stood
    mass: Tensor  # [B, H, N] float32
    rank: Tensor  # [B, H, N] int32
    lengths: Tensor  # [B, H] int32: live slots
    queries: Tensor  # [B, H, G, W, D], the query of position p at p mod W
    page_min: Tensor  # [B, H, P, D]
    page_max: Tensor

    @classmethod
    def empty(
        cls, policy: Policy, shape: Shape, batch_size: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> "Layer":
        """Room for `capacity` slots per row and head, rounded up to whole blocks of the attention."""
        _, heads, groups, dim = shape
        needs = policy.needs
        slots, num_pages = whole(capacity, needs)

        def column(*size: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(batch_size, heads, *size, dtype=dtype, device=device)

        keys = column(slots, dim)
        return cls(
            keys=keys,
            values=column(slots, dim),
            positions=column(slots, dtype=torch.int32).fill_(-1),
            mass=column(slots if needs.mass else 0, dtype=torch.float32),
            rank=column(slots if needs.rank else 0, dtype=torch.int32),
            lengths=column(dtype=torch.int32),
            queries=column(groups, needs.queries, dim),
            page_min=column(num_pages, dim),
            page_max=column(num_pages, dim),
        )

    def grow(self, capacity: int, needs: Needs) -> None:
        """Move to columns of more room, one after the other."""
        slots, num_pages = whole(capacity, needs)
        for name in ("keys", "values", "positions", "mass", "rank", "page_min", "page_max"):
            old = getattr(self, name)
            if old.numel():
                room = num_pages if name in ("page_min", "page_max") else slots
                new = old.new_full((*old.shape[:2], room, *old.shape[3:]), -1 if name == "positions" else 0)
                new[:, :, : old.shape[2]] = old
                setattr(self, name, new)

    def newest_queries(self, at: slice | Tensor, position: Tensor) -> Tensor:
        """[B, H, G, W, D] of rows `at`, oldest first; position [B] is that of the next token."""
        queries = self.queries[at]
        if not queries.numel():
            return queries
        window = queries.shape[3]
        order = (position[:, None] + torch.arange(window, device=queries.device)) % window
        return queries.gather(3, order[:, None, None, :, None].expand_as(queries))

    @property
    def columns(self) -> list[Tensor]:
        """What an eviction permutes."""
        columns = self.keys, self.values, self.positions, self.mass, self.rank
        return [column for column in columns if column.numel()]

    @property
    def slot_bytes(self) -> int:
        """Bytes that one live slot of one row takes, all heads together."""
        return sum(c[0, :, 0].numel() * c.element_size() for c in self.columns)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row that do not depend on its live slots."""
        return sum(c[0].numel() * c.element_size() for c in (self.queries, self.page_min, self.page_max))
