"""One layer's memory: columns of slots that an eviction permutes, and what belongs to the row as a whole.

B rows, L layers, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...kernels import attend, pages
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


def empty(name: str) -> int:
    """What a column holds where no token ever stood."""
    return -1 if name == "positions" else 0


@dataclass(kw_only=True)
class Layer:
    """Columns of one layer. What the policy does not need has no elements."""

    needs: Needs
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
            needs=needs,
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

    def fill(
        self,
        row: int,
        position: int,
        *,
        keys: Tensor,
        values: Tensor,
        positions: Tensor,
        queries: Tensor,
        mass: Tensor | float = 0.0,
        rank: Tensor | None = None,
    ) -> None:
        """Write a row anew, nothing of what it held is left; `position` is that of its next token.

        keys, values [H, n, D]; positions [n] or [H, n], -1 at the end of a head that has fewer; queries [H, G, m, D] of
        the newest m tokens, oldest first; mass, rank [H, n], the default of rank by position.
        """
        slots, page, window = keys.shape[1], self.needs.page, self.needs.queries
        rank = positions if rank is None else rank
        columns = dict(keys=keys, values=values, positions=positions, mass=mass, rank=rank)
        for name, new in columns.items():
            self._write(name, row, slots, new)
        self.lengths[row] = (positions >= 0).sum(-1)
        if page:
            low, high = pages.bounds(keys[None], page)
            self._write("page_min", row, low.shape[2], low[0])
            self._write("page_max", row, high.shape[2], high[0])
        if window:
            newest = queries[:, :, -window:]
            at = torch.arange(position - newest.shape[2], position, device=queries.device) % window
            self.queries[row] = 0
            self.queries[row][:, :, at] = newest

    def _write(self, name: str, row: int, count: int, new: Tensor | float) -> None:
        """The first `count` of a row's slots or pages; the others become as they were at first.

        Values above all: a row that broke leaves NaN, and 0 weight times NaN is NaN.
        """
        column = getattr(self, name)
        if column.numel():
            column[row, :, :count] = new
            column[row, :, count:] = empty(name)

    def grow(self, capacity: int) -> None:
        """Move to columns of more room, one after the other."""
        slots, num_pages = whole(capacity, self.needs)
        for name in ("keys", "values", "positions", "mass", "rank", "page_min", "page_max"):
            old = getattr(self, name)
            if old.numel():
                room = num_pages if name in ("page_min", "page_max") else slots
                new = old.new_full((*old.shape[:2], room, *old.shape[3:]), empty(name))
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
