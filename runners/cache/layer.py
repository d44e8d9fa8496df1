"""One layer's memory: columns of slots that an eviction permutes, and what belongs to the row as a whole.

What columns there are stands in `Layer` and nowhere else: their room, growth and bytes, what an eviction moves, what a
view shows and a trace holds are read off `COLUMNS`.

B rows, L layers, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim, E hidden
size.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, get_type_hints

import torch
from torch import Tensor

from ...kernels import pages
from ...kernels.pack import Stored
from ...kernels.seat import seat
from ...methods.policy import UNSEEN
from . import packing
from .from_model import FromModel
from .packing import KEYS, VALUES
from .room import Column, Room, of_scales, of_vectors
from .words import rows_of, words


@dataclass(kw_only=True)
class Layer:
    """What neither policy nor storage needs has no elements."""

    room: Room
    lengths: Tensor  # [B, H] int32: live slots
    keys: Annotated[Tensor, of_vectors(lambda storage: storage.keys)]  # [B, H, N, D], or [B, H, N, C] of codes
    values: Annotated[Tensor, of_vectors(lambda storage: storage.values)]
    key_scales: Annotated[Tensor, of_scales(lambda storage: storage.keys)]  # [B, H, N, M], beside codes
    value_scales: Annotated[Tensor, of_scales(lambda storage: storage.values)]
    noted: Annotated[Tensor, Column(lambda room: (room.slots, room.notes), torch.float32)]  # [B, H, N, C]
    positions: Annotated[Tensor, Column(lambda room: (room.slots,), torch.int32, empty=-1)]  # [B, H, N]
    mass: Annotated[Tensor, Column(lambda room: (room.slots * room.needs.mass,), torch.float32)]  # [B, H, N]
    rank: Annotated[Tensor, Column(lambda room: (room.slots * room.needs.rank,), torch.int32)]  # [B, H, N]
    # [B, H, N], UNSEEN wherever no slot is live: a token that is appended finds it there
    remembered: Annotated[
        Tensor, Column(lambda room: (room.slots * room.needs.remembered,), torch.float32, empty=UNSEEN)
    ]
    # [B, H, N], 0 wherever no slot is live, likewise
    bias: Annotated[Tensor, Column(lambda room: (room.slots * room.needs.bias,), torch.float32)]
    last_used: Annotated[Tensor, Column(lambda room: (room.slots * (room.needs.used > 0),), torch.int32)]  # [B, H, N]
    longest_gap: Annotated[Tensor, Column(lambda room: (room.slots * (room.needs.used > 0),), torch.int32)]
    # [B, H, G, W, D], the query of position p at p mod W
    queries: Annotated[
        Tensor, Column(lambda room: (room.shape.groups, room.needs.queries, room.shape.dim), by_slot=False)
    ]
    # [B, 1, W, E], that of position p at p mod W
    hidden: Annotated[Tensor, Column(lambda room: (room.needs.hidden, room.shape.width), by_slot=False, by_head=False)]
    page_min: Annotated[Tensor, Column(lambda room: (room.pages, room.shape.dim), by_slot=False)]  # [B, H, P, D]
    page_max: Annotated[Tensor, Column(lambda room: (room.pages, room.shape.dim), by_slot=False)]  # [B, H, P, D]
    # [B, H, residual, D], the vector of position p at p mod residual
    key_ring: Annotated[Tensor, Column(lambda room: room.ring(room.storage.keys), by_slot=False)]
    value_ring: Annotated[Tensor, Column(lambda room: room.ring(room.storage.values), by_slot=False)]
    known: FromModel = field(init=False, default_factory=FromModel)

    @classmethod
    def empty(cls, room: Room, batch_size: int, dtype: torch.dtype, device: torch.device) -> "Layer":
        heads, columns = room.shape.heads, {}
        for name, column in COLUMNS.items():
            own = column.dtype(room) if callable(column.dtype) else column.dtype
            size = batch_size, heads if column.by_head else 1, *column.size(room)
            columns[name] = torch.full(size, column.empty, dtype=own or dtype, device=device)
        return cls(room=room, lengths=torch.zeros(batch_size, heads, dtype=torch.int32, device=device), **columns)

    def fill(
        self,
        rows: slice,
        position: int | Tensor,
        *,
        keys: Tensor,
        values: Tensor,
        positions: Tensor,
        queries: Tensor,
        mass: Tensor | float = 0.0,
        rank: Tensor | None = None,
        remembered: Tensor | float = UNSEEN,
        bias: Tensor | float = 0.0,
        last_used: Tensor | None = None,
        longest_gap: Tensor | int = 0,
        noted: Tensor | float = 0.0,
    ) -> None:
        """Write R rows anew, nothing of what they held is left; `position`, or [R], is that of the next token.

        keys, values [R, H, n, D]; positions [R, 1, n] or [R, H, n], -1 at the end of a head that has fewer; queries
        [R, H, G, m, D] of the newest m tokens, oldest first; noted [R, H, n, C]; the others [R, H, n], by default as of
        a prompt that ends here.
        """
        slots, page, window = keys.shape[2], self.room.needs.page, self.room.needs.queries
        position = torch.as_tensor(position, device=keys.device).view(-1, 1, 1)
        rank = positions if rank is None else rank
        columns = dict(positions=positions, mass=mass, rank=rank, remembered=remembered, noted=noted)
        columns |= dict(bias=bias, last_used=position - 1 if last_used is None else last_used, longest_gap=longest_gap)
        for names, vectors in ((KEYS, keys), (VALUES, values)):
            columns |= packing.encoded(self, names, rows, vectors, positions, position)
        for name, new in columns.items():
            self._write(name, rows, slots, new)
        self.lengths[rows] = (positions >= 0).sum(-1)
        if page:
            low, high = pages.bounds(keys, page)
            self._write("page_min", rows, low.shape[2], low)
            self._write("page_max", rows, high.shape[2], high)
        if window:
            newest = queries[:, :, :, -window:]
            at = (torch.arange(-newest.shape[3], 0, device=queries.device) + position) % window  # [R, 1, m]
            self.queries[rows] = 0
            self.queries[rows].scatter_(3, at[:, :, None, :, None].expand_as(newest), newest)

    def _write(self, name: str, rows: slice, count: int, new: Tensor | float) -> None:
        """The first `count` of the rows' slots or pages; the others become as they were at first.

        Values above all: a row that broke leaves NaN, and 0 weight times NaN is NaN.
        """
        column = getattr(self, name)
        if column.numel():
            column[rows, :, :count] = new
            column[rows, :, count:] = COLUMNS[name].empty

    def seat(self, rows: Tensor, prompts: "Layer", places: Tensor) -> None:
        """Copy columns of rows `places` [R] of a layer into `rows` [R]; other slots become as they were at first."""
        for name, kind in COLUMNS.items():
            if (column := getattr(self, name)).numel():
                seat(column, getattr(prompts, name), rows, places, kind.empty)

    def first(self, rows: int) -> "Layer":
        """So many of its rows, in the same memory."""
        if rows == len(self.lengths):
            return self
        part = replace(self, lengths=self.lengths[:rows], **{name: getattr(self, name)[:rows] for name in COLUMNS})
        part.known = self.known
        return part

    def move(self, row: int, to: int) -> None:
        """Write a row anew with all that another holds."""
        for column in (self.lengths, *(getattr(self, name) for name in COLUMNS)):
            column[to] = column[row]

    def take(self, other: "Layer") -> None:
        """Hold all that a layer of the same room holds."""
        for name in ("lengths", *COLUMNS):
            getattr(self, name).copy_(getattr(other, name))

    def grow(self, capacity: int) -> None:
        """Move to columns of more room, one after the other."""
        self.room = self.room.resized(capacity)
        for name, column in COLUMNS.items():
            old, size = getattr(self, name), column.size(self.room)
            if old.shape[2:] != size:
                new = old.new_full((*old.shape[:2], *size), column.empty)
                new[:, :, : old.shape[2]] = old
                setattr(self, name, new)

    def stored(self, at: slice | Tensor, position: Tensor) -> tuple[Stored, Stored]:
        """Keys and values of rows `at`, as kernels read them; position [R] is that of the next token."""
        keys, values = (packing.stored(self, names, at, position) for names in (KEYS, VALUES))
        return keys, values

    def stored_by(self, position: Tensor) -> tuple[Stored, Stored]:
        """The same of all rows once the token of `position` [B] is there; only of a ring it matters which that is."""
        return self.stored(slice(None), position + 1 if self.room.storage.residual else position)

    def live(self, lengths: Tensor) -> Tensor:
        """[B, H, N] bool: the first `lengths` [B, H] slots of each head."""
        return torch.arange(self.room.slots, dtype=torch.int32, device=lengths.device) < lengths[..., None]

    def forget(self, at: slice | Tensor) -> None:
        """What a round has said of slots of rows `at` that are not live any more."""
        said = {name: column for name in SAID if (column := getattr(self, name)).numel()}
        dead = ~self.live(self.lengths[at]) if said else None
        for name, column in said.items():
            column[at] = column[at].masked_fill(dead, COLUMNS[name].empty)

    def bound(self, at: slice | Tensor, position: Tensor, due: Tensor) -> None:
        """Bounds of the pages of rows `at`, anew where `due` [R, 1, 1]: a round has moved slots between them."""
        keys, _ = self.stored(at, position)
        new = pages.live_bounds(keys, self.lengths[at], page=self.room.needs.page)
        for bound, renewed in zip((self.page_min, self.page_max), new, strict=True):
            bound[at] = torch.where(due[..., None], renewed, bound[at])

    def newest_queries(self, at: slice | Tensor, position: Tensor) -> Tensor:
        """[B, H, G, W, D] of rows `at`, oldest first; position [B] is that of the next token."""
        queries = words(rows_of(self.queries, at))
        if queries.numel():
            window = queries.shape[3]
            order = (position[:, None] + torch.arange(window, device=queries.device)) % window
            queries = queries.gather(3, order[:, None, None, :, None].expand_as(queries))
        return queries.view(self.queries.dtype)

    def hear(self, states: Tensor, position: Tensor, rows: slice = slice(None)) -> None:
        """Note hidden states [R, S, E] of the newest tokens of rows; position [R] is that of the last of them."""
        window = self.hidden.shape[2]
        newest = states[:, -window:]
        ago = torch.arange(1 - newest.shape[1], 1, device=states.device)
        at = (position[:, None] + ago) % window
        self.hidden[rows, 0].scatter_(1, at[..., None].expand_as(newest), newest)

    def newest_states(self, at: slice | Tensor, position: Tensor) -> Tensor:
        """[B, W, E] of rows `at`, oldest first; position [B] is that of the next token; before 0: anything."""
        states = self.hidden[at][:, 0]
        if not states.numel():
            return states
        order = (position[:, None] + torch.arange(states.shape[1], device=states.device)) % states.shape[1]
        return states.gather(1, order[..., None].expand_as(states))

    @property
    def columns(self) -> list[Tensor]:
        """What an eviction permutes."""
        return [column for name in SLOT_COLUMNS if (column := getattr(self, name)).numel()]

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).untyped_storage().nbytes() for name in COLUMNS)

    @property
    def slot_bytes(self) -> int:
        """Bytes that one live slot of one row takes, all heads together."""
        return sum(column[0, :, 0].nbytes for column in self.columns)

    @property
    def pair_bytes(self) -> int:
        """The part of them that attention reads: a key and a value a head."""
        return sum(getattr(self, name)[0, :, 0].nbytes for names in (KEYS, VALUES) for name in names[:2])

    @property
    def page_bytes(self) -> int:
        """Bounds of one page of one row, all heads together."""
        return sum(bound[0, :, :1].nbytes for bound in (self.page_min, self.page_max))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row beside its slots, with the bounds of all pages that it has room for."""
        return sum(getattr(self, name)[0].nbytes for name in COLUMNS.keys() - SLOT_COLUMNS)


SAID = ("remembered", "bias")  # by a method, at rounds
COLUMNS: dict[str, Column] = {
    name: hint.__metadata__[0]
    for name, hint in get_type_hints(Layer, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
SLOT_COLUMNS = [name for name, column in COLUMNS.items() if column.by_slot]
