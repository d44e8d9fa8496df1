"""How many directions keys and values take up: a basis of falling energy, and what share of it the first r hold.

Energy is the mean square of a coefficient, the mean vector's included: what is stored are coefficients of the vectors
as they are. `centred` shares are those of what is left without the mean.

H KV heads, n vectors, D dimensions.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Shares(NamedTuple):
    """[..., D] float64 each: cumulative, the last is 1."""

    whole: Tensor
    centred: Tensor


def moments(vectors: Tensor) -> Tensor:
    """[..., D, D] float64: mean of v v' over vectors [..., n, D]."""
    own = vectors.double()
    return own.mT @ own / own.shape[-2]


def basis_of(vectors: Tensor) -> Tensor:
    """[..., D, D] float64: orthonormal columns by falling energy of vectors [..., n, D], the largest number positive"""
    basis = torch.linalg.eigh(moments(vectors)).eigenvectors.flip(-1)
    largest = basis.gather(-2, basis.abs().argmax(-2, keepdim=True))
    return basis * largest.sign()


def energy_shares(vectors: Tensor) -> Shares:
    """Of the energy of vectors [..., n, D], by rank."""
    centred = vectors - vectors.mean(-2, keepdim=True)
    return Shares(*(cumulative(torch.linalg.eigvalsh(moments(each))) for each in (vectors, centred)))


def cumulative(energies: Tensor) -> Tensor:
    """Shares [..., D] of rising energies [..., D], the largest first."""
    falling = energies.flip(-1).clamp(min=0).cumsum(-1)
    return falling / falling[..., -1:]
