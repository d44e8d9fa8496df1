"""Noise as a function: counter-based random numbers keyed by (seed, sample, draw).

A number depends on nothing but its key and its counter, so a stochastic method is a pure function of its view: the
result of a row does not depend on its batch, on slot order, on the worker, or on a resume.

B rows. Counters are ints or integer tensors that broadcast to the shape wanted, [B, ...].
"""

import math
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor

from .reference import philox, uniform

# the last counter word: what the numbers are for
SLOTS, PROJECTION, SAMPLER, MERGES = 0, 1, 2, 3

# layer and round share a counter word
ROUNDS = 2**20


@dataclass(frozen=True, kw_only=True)
class Noise:
    keys: Tensor  # [B, 2] int64, each a 32-bit word

    @staticmethod
    def key(seed: int, sample: int | str, draw: int) -> tuple[int, int]:
        digest = blake2b(f"{seed}/{sample}/{draw}".encode(), digest_size=8).digest()
        return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")

    def words(self, index: Tensor, second: Tensor | int, third: Tensor | int, stream: int) -> tuple[Tensor, ...]:
        """Four words of 32 bits a counter; index [B or 1, ...] sets the shape, of two or three dimensions on a GPU."""
        if self.keys.is_cuda:
            return tuple(self._draw("WORDS", index, second, third, stream))

        def word(value: Tensor | int) -> Tensor:
            return torch.as_tensor(value, dtype=torch.int64, device=self.keys.device)

        k0, k1 = (key.view(-1, *[1] * (index.dim() - 1)) for key in self.keys.unbind(1))
        return philox((k0, k1), (word(index), word(second), word(third), word(stream)))

    def uniform(self, index: Tensor, second: Tensor | int, third: Tensor | int, stream: int) -> Tensor:
        """float32 in (0, 1), both ends excluded."""
        if self.keys.is_cuda:
            return self._draw("UNIFORM", index, second, third, stream)
        return uniform(self.words(index, second, third, stream)[0])

    def gumbel(self, index: Tensor, second: Tensor | int, third: Tensor | int, stream: int) -> Tensor:
        """Standard Gumbel, float32."""
        if self.keys.is_cuda:
            return self._draw("GUMBEL", index, second, third, stream)
        return -(-self.uniform(index, second, third, stream).log()).log()

    def normal(self, index: Tensor, second: Tensor | int, third: Tensor | int, stream: int) -> Tensor:
        """Standard normal, float32, by Box and Muller from two words."""
        if self.keys.is_cuda:
            return self._draw("NORMAL", index, second, third, stream)
        first, other, _, _ = self.words(index, second, third, stream)
        return (-2 * uniform(first).log()).sqrt() * (2 * math.pi * uniform(other)).cos()

    def _draw(self, law: str, index: Tensor, second: Tensor | int, third: Tensor | int, stream: int) -> Tensor:
        from . import kernel

        return kernel.draw(kernel.Law[law], self.keys, index, second, third, stream)

    def rows(self, index: Tensor) -> "Noise":
        return Noise(keys=self.keys[index])
