"""Vectors as codes of few bits and the numbers that turn them back, in PyTorch.

Codes of a vector lie side by side in planes of 8, 4, 2 or 1 bit, the first channel in the lowest bits; three bits are a
plane of two, then one of one.

D head dim, C bytes of codes, G groups of channels, M numbers beside the codes, P parts of d = D / P channels.
"""

import torch
from torch import Tensor

LARGEST = 448.0  # of e4m3
PLANES = {8: (8,), 4: (4,), 3: (2, 1), 2: (2,)}  # by bits of a code

HELD = 1024  # neighbouring vectors whose distances to all centroids are held at a time

Encoded = tuple[Tensor, Tensor]  # codes [..., C], numbers [..., M] float16


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Codes [..., D] uint8 below 2 ** bits to bytes [..., D * bits / 8]."""
    packed, low = [], 0
    for width in PLANES[bits]:
        plane = (codes >> low) & ((1 << width) - 1)
        shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=codes.device)
        packed.append((plane.unflatten(-1, (-1, 8 // width)) << shifts).sum(-1, dtype=torch.uint8))
        low += width
    return torch.cat(packed, -1)


def unpack_bits(packed: Tensor, bits: int) -> Tensor:
    """The codes [..., D] uint8 of bytes [..., D * bits / 8]."""
    codes, low, dim = None, 0, packed.shape[-1] * 8 // bits
    for width, plane in zip(PLANES[bits], packed.split([dim * width // 8 for width in PLANES[bits]], -1), strict=True):
        shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=packed.device)
        own = ((plane[..., None] >> shifts) & ((1 << width) - 1)).flatten(-2) << low
        codes, low = own if codes is None else codes | own, low + width
    assert codes is not None
    return codes


def quantise_float8(vectors: Tensor) -> Encoded:
    """The largest channel of a vector becomes the largest number of e4m3."""
    scale = (vectors.abs().amax(-1, keepdim=True) / LARGEST).half()
    numbers = (vectors / unless_zero(scale)).clamp(-LARGEST, LARGEST)
    return numbers.to(torch.float8_e4m3fn).view(torch.uint8), scale


def restore_float8(codes: Tensor, scales: Tensor) -> Tensor:
    return codes.view(torch.float8_e4m3fn).float() * scales.float()


def quantise_affine(vectors: Tensor, bits: int, group: int) -> Encoded:
    """Even steps from the least channel of a group to the greatest; scales of all groups, then their least channels."""
    grouped = vectors.unflatten(-1, (-1, group))
    least = grouped.amin(-1).half()
    scale = ((grouped.amax(-1) - least.float()) / (2**bits - 1)).clamp(min=0).half()
    steps = (grouped - least.float()[..., None]) / unless_zero(scale)[..., None]
    return pack_bits(rounded(steps, bits).flatten(-2), bits), torch.cat([scale, least], -1)


def restore_affine(codes: Tensor, scales: Tensor, bits: int, group: int) -> Tensor:
    scale, least = scales.float().chunk(2, -1)
    grouped = unpack_bits(codes, bits).unflatten(-1, (-1, group)).float()
    return (grouped * scale[..., None] + least[..., None]).flatten(-2)


def quantise_sphere(vectors: Tensor, bits: int, centroids: Tensor, borders: Tensor) -> Encoded:
    """Each channel's nearest centroid, where channels have a variance of 1; and what gives back the vector's norm."""
    norm = vectors.square().sum(-1, keepdim=True).sqrt()
    spread = vectors / torch.where(norm == 0, 1.0, norm) * vectors.shape[-1] ** 0.5
    codes = torch.bucketize(spread, borders).to(torch.uint8)
    length = centroids[codes.int()].square().sum(-1, keepdim=True).sqrt()
    return pack_bits(codes, bits), (norm / length).half()


def restore_sphere(codes: Tensor, scales: Tensor, bits: int, centroids: Tensor) -> Tensor:
    return centroids[unpack_bits(codes, bits).int()] * scales.float()


def quantise_channels(vectors: Tensor, bits: int, span: int) -> Encoded:
    """Even steps of each channel over `span` tokens [..., N, D]; the numbers of a group lie over its tokens' rows.

    A last group that is not whole has no codes yet.
    """
    whole, rest = vectors.split([vectors.shape[-2] // span * span, vectors.shape[-2] % span], -2)
    codes, numbers = quantise_affine(whole.unflatten(-2, (-1, span)).mT, bits, span)
    codes = pack_bits(unpack_bits(codes, bits).mT, bits).flatten(-3, -2)
    numbers = numbers.mT.flatten(-2).unflatten(-1, (span, -1)).flatten(-3, -2)  # all scales of a group, then the least
    return with_rows(codes, rest.shape[-2]), with_rows(numbers, rest.shape[-2])


def restore_channels(codes: Tensor, scales: Tensor, bits: int, span: int) -> Tensor:
    steps = unpack_bits(codes, bits).unflatten(-2, (-1, span)).float()
    numbers = scales.float().unflatten(-2, (-1, span)).flatten(-2).unflatten(-1, (2, 1, -1))
    scale, least = numbers.unbind(-3)
    return (steps * scale + least).flatten(-3, -2)


def quantise_parts(vectors: Tensor, centroids: Tensor) -> Tensor:
    """Nearest of centroids [P, 256, d], of which the last is NaN, to each part of vectors [..., n, D]: [..., n, P]."""
    return torch.cat([nearest_centroid(own, centroids) for own in vectors.split(HELD, -2)], -2)


def nearest_centroid(vectors: Tensor, centroids: Tensor) -> Tensor:
    own = vectors.unflatten(-1, (len(centroids), -1)).transpose(-3, -2)  # [..., P, n, d]
    known = centroids[:, :-1]
    codes = (known.square().sum(-1)[:, None] - 2 * own @ known.mT).argmin(-1).transpose(-2, -1)
    whole = (vectors * 0 == 0).all(-1, keepdim=True)
    return torch.where(whole, codes, known.shape[1]).to(torch.uint8)


def restore_parts(codes: Tensor, centroids: Tensor) -> Tensor:
    part = torch.arange(len(centroids), device=codes.device)
    return centroids[part, codes.long()].flatten(-2)


def with_rows(encoded: Tensor, count: int) -> Tensor:
    """So many rows of zeros more."""
    return torch.cat([encoded, encoded.new_zeros(*encoded.shape[:-2], count, encoded.shape[-1])], -2)


def unless_zero(scale: Tensor) -> Tensor:
    """float32, to divide by."""
    return torch.where(scale == 0, 1.0, scale.float())


def rounded(steps: Tensor, bits: int) -> Tensor:
    """To the nearest code, halves up; a vector that broke is known by its numbers."""
    return (steps + 0.5).floor().nan_to_num().clamp(0, 2**bits - 1).to(torch.uint8)
