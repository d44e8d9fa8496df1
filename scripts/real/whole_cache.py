"""Attention over all tokens beside attention over those that a method keeps, on the same queries, keys and values.

B rows, H KV heads, G query heads per KV head, N positions, D head dim.
"""

from typing import NamedTuple

import torch
from kvarena.kernels import attend
from kvarena.runners.cache import Layer
from kvarena.runners.generate import Decoder
from torch import Tensor


class Missed(NamedTuple):
    """Of one step and layer of a row: errors of all heads' outputs, and what is said of them, parts of their norm."""

    row: int
    position: int
    layer: int
    error: float
    estimate: float  # what the method says of it; 0 where it says nothing
    linear: float  # what the usual linear form of the variance would say
    sum_error: float  # of sums over what is kept, each by its count, before they are divided by the sum of weights
    sum_estimate: float  # what is said of that, the attention of all tokens being known


class WholeCache:
    """Follows an eager decoder, all of whose rows begin with a prompt that no round has cut."""

    def __init__(self, decoder: Decoder) -> None:
        cache = decoder.cache
        longest = -(-cache.longest // attend.BLOCK) * attend.BLOCK
        size = (cache.batch_size, cache.shape.heads, longest, cache.shape.dim)
        self.cache, self.inner, self.found = cache, cache.attend, list[Missed]()
        self.columns = [cache.positions.new_zeros(2, *size, dtype=cache.dtype) for _ in range(cache.shape.layers)]
        cache.attend = self.attend

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        cache, position, column = self.cache, self.cache.positions, self.columns[index]
        layer = cache.layers[index]
        busy = [row for row, clock in enumerate(cache.clocks) if clock and cache.active[row]]
        for row in busy:
            clock = cache.clocks[row]
            if not clock.steps:
                column[0, row, :, : clock.prompt] = layer.keys[row, :, : clock.prompt]
                column[1, row, :, : clock.prompt] = layer.values[row, :, : clock.prompt]
        rows = torch.arange(len(position), device=position.device)
        column[0, rows, :, position], column[1, rows, :, position] = key[:, :, 0], value[:, :, 0]
        before = self.noted()
        output = self.inner(index, query, key, value, scale)
        noted = (self.noted() - before) * cache.shape.layers
        grouped = query.reshape(len(position), *cache.shape[1:4])
        logits = (grouped.float() * scale) @ column[0].float().mT
        places = torch.arange(logits.shape[-1], device=position.device)
        share = logits.masked_fill((places > position[:, None])[:, None, None], -torch.inf).softmax(-1)
        parts = errors_of(share, column[1].float(), stands_for(layer, len(places)), output.view_as(grouped).float())
        for row in busy:
            error, *others = (float(part[row]) for part in parts)
            self.found.append(Missed(row, int(position[row]), index, error, float(noted[row]), *others))
        return output

    def noted(self) -> Tensor:
        """[B] of the step so far; 0 where the method notes nothing."""
        used = self.cache.used
        if not used.errors.numel():
            return torch.zeros(used.count, device=used.positions.device)
        return used.errors.gather(1, used.positions[:, None])[:, 0].clone()


def stands_for(layer: Layer, size: int) -> Tensor:
    """[B, H, N] by position: for how many tokens each that is kept stands; 0: it went."""
    each = layer.bias.exp() if layer.bias.numel() else torch.ones_like(layer.positions, dtype=torch.float32)
    at = layer.positions.long().masked_fill(~layer.live(layer.lengths), size)
    return each.new_zeros(*at.shape[:2], size + 1).scatter_(2, at, each)[..., :size]


def errors_of(share: Tensor, values: Tensor, counts: Tensor, output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`error`, `linear`, `sum_error` and `sum_estimate` of `Missed`, [B] each.

    share [B, H, G, N] of all tokens, values [B, H, N, D], output [B, H, G, D] over what is kept.
    """
    whole, number = share @ values, counts[:, :, None]
    weighed = share * number
    drawn = (1 - 1 / number.clamp(min=1)) * weighed.square()
    total = weighed.sum(-1, keepdim=True)
    linear = drawn / total.square() * torch.cdist(output, values).square()
    sums = weighed @ values - total * whole
    said = drawn * torch.cdist(whole, values).square()
    squares = [(output - whole).square(), linear, sums.square(), said]
    norms = [norm.square().sum((1, 2, 3)) for norm in (output, output, whole, whole)]
    first, second, third, last = (
        (part.sum((1, 2, 3)) / norm).sqrt() for part, norm in zip(squares, norms, strict=True)
    )
    return first, second, third, last
