"""What a key or value can be stored as. Each is built by the config that names it (conf/format), and says its bytes.

H KV heads, D head dim, C codes, M numbers of float16 beside them. `turn` comes before the codes: what is stored stands
in a basis of its own, in which products and norms are those of before.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..noise import Noise
from . import reference
from .reference import Encoded

# Lloyd-Max centroids of a normal distribution of variance 1 (Max, Quantizing for Minimum Distortion, 1960), those
# above 0, by bits
CENTROIDS = {
    3: (0.24509418, 0.75600528, 1.34390928, 2.1519457),
    4: (0.12839503, 0.3880483, 0.65675912, 0.94234046, 1.2562312, 1.61804639, 2.06901723, 2.73258957),
}


class Kind(IntEnum):
    """How codes are meant, as kernels ask it."""

    FLOAT8 = 0
    AFFINE = 1
    SPHERE = 2
    CHANNELS = 3
    LEADING = 4
    CODEBOOK = 5


class Layout(NamedTuple):
    """What a kernel is compiled for."""

    kind: int
    bits: int
    group: int  # channels that share their numbers; coefficients that are kept; channels of a part


@dataclass(frozen=True, kw_only=True)
class Format(ABC):
    @property
    @abstractmethod
    def name(self) -> str:
        """As tables call it."""

    @property
    def packs(self) -> bool:
        """Whether vectors become codes; if not, they stay as they are."""
        return True

    @property
    def span(self) -> int:
        """Neighbouring tokens that are encoded together."""
        return 1

    @property
    def dtype(self) -> torch.dtype | None:
        """Of its codes; None: the model's."""
        return torch.uint8

    @property
    def learns(self) -> str | None:
        """What it needs of a calibration; None: nothing."""
        return None

    def of(self, learned: Tensor) -> "Format":
        """With what was learned of a layer, without which it encodes nothing."""
        return self

    @abstractmethod
    def check(self, dim: int) -> None:
        """ValueError for a head size that it cannot group."""

    @abstractmethod
    def layout(self, dim: int) -> Layout: ...

    @abstractmethod
    def num_scales(self, dim: int) -> int:
        """M."""

    def num_codes(self, dim: int) -> int:
        """C."""
        return dim * self.layout(dim).bits // 8

    def num_bytes(self, dim: int) -> int:
        """Of one vector."""
        return self.num_codes(dim) + 2 * self.num_scales(dim)

    def turn(self, vectors: Tensor) -> Tensor:
        """[..., H, n, D] to the basis in which they are stored; float32 where it is another."""
        return vectors

    def unturn(self, vectors: Tensor) -> Tensor:
        return vectors

    @abstractmethod
    def quantise(self, vectors: Tensor) -> Encoded:
        """Of turned vectors [..., D] float32: codes [..., C], numbers [..., M] float16."""

    @abstractmethod
    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        """Turned vectors [..., D] float32."""

    def table(self, device: torch.device) -> Tensor:
        """float32, what a kernel looks up: centroids, then the borders between them."""
        return nothing(device)


@dataclass(frozen=True, kw_only=True)
class Plain(Format):
    """The model's own numbers."""

    @property
    def name(self) -> str:
        return "plain"

    @property
    def packs(self) -> bool:
        return False

    def check(self, dim: int) -> None:
        pass

    def num_bytes(self, dim: int) -> int:
        return 2 * dim

    def num_scales(self, dim: int) -> int:
        return 0

    def layout(self, dim: int) -> Layout:
        raise NotImplementedError

    def quantise(self, vectors: Tensor) -> Encoded:
        raise NotImplementedError

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Fp8(Format):
    """Numbers of e4m3 and a scale for each token and head: D + 2 bytes."""

    @property
    def name(self) -> str:
        return "fp8"

    def check(self, dim: int) -> None:
        pass

    def layout(self, dim: int) -> Layout:
        return Layout(Kind.FLOAT8, 8, dim)

    def num_scales(self, dim: int) -> int:
        return 1

    def quantise(self, vectors: Tensor) -> Encoded:
        return reference.quantise_float8(vectors)

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        return reference.restore_float8(codes, scales)


@dataclass(frozen=True, kw_only=True)
class Affine(Format):
    """Even steps between the least and the greatest channel of a group: D bits / 8 + 4 D / group bytes."""

    bits: int
    group: int | None  # channels; null: the whole head

    def __post_init__(self) -> None:
        if self.bits not in reference.PLANES:
            raise ValueError(f"bits={self.bits} of a format: use one of {', '.join(map(str, reference.PLANES))}")
        if self.group is not None and (self.group < 1 or self.group & (self.group - 1)):
            raise ValueError(f"group={self.group} of a format: use a power of two of channels, or null: a whole head")

    @property
    def name(self) -> str:
        return f"int{self.bits}" + (f"g{self.group}" if self.group else "")

    def check(self, dim: int) -> None:
        if dim % (self.group or dim):
            raise ValueError(f"head size {dim}: format {self.name} has groups of {self.group}; use group=null")
        check_bits(self.name, dim, self.bits)

    def layout(self, dim: int) -> Layout:
        return Layout(Kind.AFFINE, self.bits, self.group or dim)

    def num_scales(self, dim: int) -> int:
        return 2 * dim // (self.group or dim)

    def quantise(self, vectors: Tensor) -> Encoded:
        return reference.quantise_affine(vectors, self.bits, self.group or vectors.shape[-1])

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        dim = codes.shape[-1] * 8 // self.bits
        return reference.restore_affine(codes, scales, self.bits, self.group or dim)


@dataclass(frozen=True, kw_only=True)
class Turbo(Format):
    """TurboQuant's keys: a rotation, the nearest of a normal distribution's centroids, a norm: D bits / 8 + 2 bytes.

    Zandieh et al. 2025, arXiv 2504.19874, as vLLM ships it: no second stage of signs, and the norm is that of before
    for the centroids too, which is why it is stored as a share of theirs.
    """

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in CENTROIDS:
            raise ValueError(f"bits={self.bits} of turbo: use {' or '.join(map(str, CENTROIDS))}")

    @property
    def name(self) -> str:
        return f"turbo{self.bits}"

    def check(self, dim: int) -> None:
        if dim & (dim - 1):
            raise ValueError(f"head size {dim}: format {self.name} turns powers of two; use int{self.bits}, or fp8")
        check_bits(self.name, dim, self.bits)

    def layout(self, dim: int) -> Layout:
        return Layout(Kind.SPHERE, self.bits, dim)

    def num_scales(self, dim: int) -> int:
        return 1

    def turn(self, vectors: Tensor) -> Tensor:
        return vectors.float() @ rotation(vectors.shape[-1], vectors.device)

    def unturn(self, vectors: Tensor) -> Tensor:
        return vectors.float() @ rotation(vectors.shape[-1], vectors.device).mT

    def quantise(self, vectors: Tensor) -> Encoded:
        return reference.quantise_sphere(vectors, self.bits, *centroids(self.bits, vectors.device))

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        return reference.restore_sphere(codes, scales, self.bits, centroids(self.bits, codes.device)[0])

    def table(self, device: torch.device) -> Tensor:
        return centroid_table(self.bits, device)


@dataclass(frozen=True, kw_only=True)
class Kivi(Format):
    """KIVI's keys: even steps of each channel over so many tokens, for keys vary most between channels.

    Liu et al. 2024, arXiv 2402.02750. D bits / 8 + 4 D / tokens bytes. A group is encoded when it is whole, from the
    ring, and its tokens cannot be told apart after that: no eviction.
    """

    bits: int
    tokens: int

    def __post_init__(self) -> None:
        if self.bits not in (2, 4, 8):
            raise ValueError(f"bits={self.bits} of kivi: use 2, 4 or 8")
        if self.tokens not in (8, 16, 32, 64):
            raise ValueError(f"tokens={self.tokens} of kivi: use 8, 16, 32 or 64")

    @property
    def name(self) -> str:
        return f"kivi{self.bits}" + (f"t{self.tokens}" if self.tokens != 32 else "")

    @property
    def span(self) -> int:
        return self.tokens

    def check(self, dim: int) -> None:
        if 2 * dim % self.tokens:
            raise ValueError(f"head size {dim}: format {self.name} has groups of {self.tokens} tokens; use fewer")
        check_bits(self.name, dim, self.bits)

    def layout(self, dim: int) -> Layout:
        return Layout(Kind.CHANNELS, self.bits, self.tokens)

    def num_scales(self, dim: int) -> int:
        return 2 * dim // self.tokens

    def quantise(self, vectors: Tensor) -> Encoded:
        """Of [..., N, D], the first of which begins a group."""
        return reference.quantise_channels(vectors, self.bits, self.tokens)

    def restore(self, codes: Tensor, scales: Tensor) -> Tensor:
        """Of whole groups [..., N, C]."""
        return reference.restore_channels(codes, scales, self.bits, self.tokens)


def check_bits(name: str, dim: int, bits: int) -> None:
    """Each plane of a vector fills whole bytes."""
    if any(dim * width % 8 for width in reference.PLANES[bits]):
        raise ValueError(f"head size {dim}: format {name} fills no whole bytes; use format fp8")


@lru_cache
def centroids(bits: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """All of them in order, [2 ** bits], and the borders between them, [2 ** bits - 1]."""
    above = torch.tensor(CENTROIDS[bits], device=device)
    every = torch.cat([-above.flip(0), above])
    return every, (every[1:] + every[:-1]) / 2


@lru_cache
def centroid_table(bits: int, device: torch.device) -> Tensor:
    return torch.cat(centroids(bits, device))


@lru_cache
def nothing(device: torch.device) -> Tensor:
    return torch.empty(0, device=device)


@lru_cache
def rotation(dim: int, device: torch.device) -> Tensor:
    """[D, D] float32: signs of the noise, which are the same everywhere, then a Hadamard matrix."""
    matrix = torch.ones(1, 1)
    while len(matrix) < dim:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    drawn = Noise(keys=torch.zeros(1, 2, dtype=torch.int64)).uniform(torch.arange(dim)[None], 0, 0, 0)[0]
    signs = torch.where(drawn < 0.5, -1.0, 1.0)
    return (signs[:, None] * matrix / dim**0.5).to(device)
