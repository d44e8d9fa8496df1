"""Centroids of each part of a vector, by Lloyd's k-means over the vectors of all heads of a layer.

H KV heads, n vectors, D head dim, P parts of d = D / P channels, K centroids.
"""

import torch
from torch import Tensor

CENTROIDS = 255  # the last code of a byte is that of a vector that broke
MOST = 8192  # vectors that are clustered
ROUNDS = 8


def codebook_of(vectors: Tensor, parts: int) -> Tensor:
    """[P, K, d] float32 of vectors [H, n, D], each part for itself; H n is K or more."""
    every = vectors.float().flatten(0, 1)
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:MOST]
    points = every[order].unflatten(-1, (parts, -1)).transpose(0, 1)
    return torch.stack([clustered(own, own[:CENTROIDS]) for own in points])


def clustered(points: Tensor, centroids: Tensor) -> Tensor:
    """[K, d]: the centroids after some rounds over points [n, d]; one that is nobody's stays where it was."""
    for _ in range(ROUNDS):
        nearest = (centroids.square().sum(-1) - 2 * points @ centroids.mT).argmin(-1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, points)
        counts = nearest.bincount(minlength=len(centroids))[:, None]
        centroids = torch.where(counts > 0, sums / counts.clamp(min=1), centroids)
    return centroids
