"""Keys and values of a layer as they are stored: plain, or as codes with numbers beside them and the newest in a ring.

R rows, H KV heads, N slots, W places of the ring, D head dim.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...kernels.pack import Format, Packed, Stored, encode
from .words import rows_of

if TYPE_CHECKING:
    from .layer import Layer


class Names(NamedTuple):
    """Of the columns that hold keys or values."""

    codes: str
    scales: str
    ring: str


KEYS = Names("keys", "key_scales", "key_ring")
VALUES = Names("values", "value_scales", "value_ring")


def form_of(layer: "Layer", names: Names) -> Format:
    storage = layer.room.storage
    return storage.keys if names is KEYS else storage.values


def stored(layer: "Layer", names: Names, at: slice | Tensor, position: Tensor) -> Stored:
    """Of rows `at`, as kernels read them; position [R] is that of the next token."""
    codes, form = rows_of(getattr(layer, names.codes), at), form_of(layer, names)
    if not form.packs:
        return codes
    return Packed(
        form=form,
        codes=codes,
        scales=rows_of(getattr(layer, names.scales), at),
        ring=rows_of(getattr(layer, names.ring), at),
        positions=layer.positions[at],
        position=position,
        dim=layer.room.shape.dim,
    )


def encoded(
    layer: "Layer", names: Names, rows: slice, vectors: Tensor, positions: Tensor, position: Tensor
) -> dict[str, Tensor]:
    """What columns of slots are filled with for vectors [R, H, n, D], by name; the rows' rings are filled here."""
    form, ring = form_of(layer, names), getattr(layer, names.ring)
    if not form.packs:
        return {names.codes: vectors}
    turned = form.turn(vectors)
    if ring.numel():
        ring[rows] = newest(turned, positions, position, ring.shape[2])
    codes, scales = encode(form, turned)
    return {names.codes: codes, names.scales: scales}


def newest(vectors: Tensor, positions: Tensor, position: Tensor, width: int) -> Tensor:
    """[R, H, W, D], the vector of position p at p mod W, of vectors [R, H, n, D] at positions [R, 1, n] or [R, H, n].

    `position` [R, 1, 1], or [1, 1, 1] for all, is that of the next token; zeros where a position is not there.
    """
    asked = torch.arange(-width, 0, device=vectors.device) + position  # [R, 1, W]
    found = (positions[..., None, :] == asked[..., None]) & (asked >= 0)[..., None]
    size = *vectors.shape[:2], width, vectors.shape[-1]
    there = vectors.gather(2, found.int().argmax(-1)[..., None].expand(size)) * found.any(-1)[..., None]
    return torch.zeros_like(there).scatter_(2, (asked % width)[..., None].expand(size), there)
