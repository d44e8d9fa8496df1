"""Vectors stored as codes: one place encodes, one decodes.

A column of keys or values is a tensor [B, H, N, D] where it is plain, else a `Packed`, which every kernel that reads
keys or values takes in its place: it decodes what it has loaded. Codes and the numbers beside them are two tensors, so
that a vector's codes begin at whole 16 bytes.

B rows, H KV heads, N slots, n vectors, D head dim, C codes, M numbers beside them, W plain vectors in a ring.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .formats import Affine, Format, Fp8, Kivi, Plain, Turbo
from .learned import Codebook, Coefficients
from .reference import Encoded

__all__ = [
    "Affine",
    "Codebook",
    "Coefficients",
    "Encoded",
    "Format",
    "Fp8",
    "Kivi",
    "Packed",
    "Plain",
    "Stored",
    "Turbo",
    "decode",
    "encode",
]


def encode(form: Format, vectors: Tensor) -> Encoded:
    """Codes [..., C] and numbers [..., M] float16 of turned vectors [..., n, D]."""
    if vectors.is_cuda and form.span == 1:
        from . import kernel

        return kernel.encode(form, vectors)
    return form.quantise(vectors.float())


def decode(packed: "Packed") -> Tensor:
    """[B, H, N, D] float32."""
    if packed.codes.is_cuda:
        from . import kernel

        turned = kernel.decode(packed)
    else:
        turned = packed.substitute(packed.form.restore(packed.codes, packed.scales))
    return packed.form.unturn(turned)


OF_SLOTS, OF_ROWS = ("codes", "scales", "positions"), ("ring", "position")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A column of vectors, the newest of which may stand in a ring as they came: there they are read."""

    form: Format
    codes: Tensor  # [B, H, N, C] uint8, or of the model's dtype
    scales: Tensor  # [B, H, N, M] float16
    ring: Tensor  # [B, H, W, D] turned, that of position p at p mod W; W = 0: there is none
    positions: Tensor  # [B, H, N] int32 of the slots
    position: Tensor  # [B] of the next token: the ring holds the W before it
    dim: int

    @property
    def shape(self) -> torch.Size:
        """[B, H, N, D]."""
        return torch.Size((*self.codes.shape[:3], self.dim))

    @property
    def device(self) -> torch.device:
        return self.codes.device

    @property
    def is_cuda(self) -> bool:
        return self.codes.is_cuda

    @property
    def dtype(self) -> torch.dtype:
        """The model's."""
        return self.ring.dtype

    def float(self) -> Tensor:
        """[B, H, N, D] float32."""
        return decode(self)

    def is_contiguous(self) -> bool:
        """Whether all of its parts are."""
        return all(getattr(self, name).is_contiguous() for name in OF_SLOTS + OF_ROWS)

    def contiguous(self) -> "Packed":
        """Itself where it is, else with a copy of what is not."""
        if self.is_contiguous():
            return self
        return replace(self, **{name: getattr(self, name).contiguous() for name in OF_SLOTS + OF_ROWS})

    def __getitem__(self, index: tuple[slice, slice, slice]) -> "Packed":
        """Some of the slots, as a tensor gives them: [:, :, start:end]."""
        return replace(self, **{name: getattr(self, name)[index] for name in OF_SLOTS})

    def substitute(self, turned: Tensor) -> Tensor:
        """Turned vectors [B, H, N, D], those in the ring as they stand there."""
        width = self.ring.shape[2]
        if not width:
            return turned
        recent = self.positions >= (self.position - width).clamp(min=0)[:, None, None]
        place = (self.positions % width).long()[..., None].expand_as(turned)
        return torch.where(recent[..., None], self.ring.gather(2, place).float(), turned)

    def put(self, slots: Tensor, vectors: Tensor) -> None:
        """Write the token before `position` into `slots` [B, H]: a vector [B, H, D] a row and head."""
        turned, width = self.form.turn(vectors[:, :, None]), self.ring.shape[2]
        rows, heads = (torch.arange(size, device=self.device) for size in slots.shape)
        if width:
            self.ring[rows, :, (self.position - 1) % width] = turned.squeeze(2).to(self.dtype)
        if self.form.span > 1:
            self.put_group()
            return
        at = rows[:, None], heads, slots
        for column, new in zip((self.codes, self.scales), encode(self.form, turned), strict=True):
            column[at] = new.squeeze(2).to(column.dtype)

    def put_group(self) -> None:
        """Encode the group that the token before `position` completes, where it does; a slot is its position here."""
        span, width = self.form.span, self.ring.shape[2]
        for row in (self.position % span == 0).nonzero().flatten().tolist():
            end = int(self.position[row])
            group = self.ring[row][:, torch.arange(end - span, end, device=self.device) % width]
            self.codes[row, :, end - span : end], self.scales[row, :, end - span : end] = encode(self.form, group)


Stored = Tensor | Packed  # a column [B, H, N, D], as kernels read it
