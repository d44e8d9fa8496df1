"""Formats that are learned from a model's own keys and values; a layer's part of what was learned is their `learned`.

H KV heads, n vectors, D head dim, r coefficients, P parts of d = D / P channels.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from . import reference
from .formats import Format, Kind, Layout, nothing
from .reference import Encoded


@dataclass(frozen=True, kw_only=True)
class Coefficients(Format):
    """The first coefficients of a vector in its head's basis, in the model's own numbers: 2 rank bytes.

    Exact algebra at full rank: products with keys are those of turned queries with coefficients (Loki, Singhania et al.
    2024, arXiv 2406.02542, of keys after RoPE), and the sum of values is turned back after attention has summed.
    """

    rank: int
    learned: Tensor = field(default_factory=lambda: torch.empty(0), repr=False, compare=False)  # [H, D, D] orthonormal

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank={self.rank} of low_rank: use 1 or more")

    @property
    def name(self) -> str:
        return f"rank{self.rank}"

    @property
    def learns(self) -> str:
        return "basis"

    @property
    def dtype(self) -> None:
        """The model's."""

    def of(self, learned: Tensor) -> Self:
        return replace(self, learned=learned)

    def check(self, dim: int) -> None:
        if self.rank > dim:
            raise ValueError(f"head size {dim}: rank={self.rank} of low_rank is above it; use {dim} or less")

    def layout(self, dim: int) -> Layout:
        return Layout(Kind.LEADING, 16, self.rank)

    def num_codes(self, dim: int) -> int:
        return self.rank

    def num_bytes(self, dim: int) -> int:
        return 2 * self.rank

    def num_scales(self, dim: int) -> int:
        return 0

    def turn(self, vectors: Tensor) -> Tensor:
        return vectors.float() @ self.learned

    def unturn(self, vectors: Tensor) -> Tensor:
        return vectors.float() @ self.learned.mT

    def quantise(self, vectors: Tensor) -> Encoded:
        return vectors[..., : self.rank].contiguous(), no_scales(vectors)

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        return torch.nn.functional.pad(codes.float(), (0, self.learned.shape[-1] - self.rank))


@dataclass(frozen=True, kw_only=True)
class Codebook(Format):
    """Product quantisation: of each part of a vector the nearest of 255 centroids of its layer: a byte a part.

    Jegou et al. 2011. The last code is that of a vector that broke.
    """

    parts: int
    learned: Tensor = field(default_factory=lambda: torch.empty(0), repr=False, compare=False)  # [P, 256, d]

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ValueError(f"parts={self.parts} of codebook: use 1 or more")

    @property
    def name(self) -> str:
        return f"pq{self.parts}"

    @property
    def learns(self) -> str:
        return f"codebook{self.parts}"

    def of(self, learned: Tensor) -> Self:
        broken = learned.new_full((self.parts, 1, learned.shape[-1]), torch.nan)
        return replace(self, learned=torch.cat([learned, broken], 1))

    def check(self, dim: int) -> None:
        if dim % self.parts:
            raise ValueError(f"head size {dim}: parts={self.parts} of codebook cannot be alike; use a divisor")

    def layout(self, dim: int) -> Layout:
        return Layout(Kind.CODEBOOK, 8, dim // self.parts)

    def num_codes(self, dim: int) -> int:
        return self.parts

    def num_scales(self, dim: int) -> int:
        return 0

    def quantise(self, vectors: Tensor) -> Encoded:
        return reference.quantise_parts(vectors, self.learned), no_scales(vectors)

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        return reference.restore_parts(codes, self.learned)

    def table(self, device: torch.device) -> Tensor:
        return self.learned if self.learned.numel() else nothing(device)


def no_scales(vectors: Tensor) -> Tensor:
    """[..., 0]"""
    return vectors.new_empty(*vectors.shape[:-1], 0, dtype=torch.float16)
