"""Attention over all tokens beside attention over those that a method keeps, on the same queries, keys and values.

B rows, H KV heads, G query heads per KV head, N positions, D head dim.
"""

from typing import NamedTuple

import torch
from kvarena.kernels import attend
from kvarena.runners.generate import Decoder
from torch import Tensor


class Missed(NamedTuple):
    """Of one step and layer of a row."""

    row: int
    position: int
    layer: int
    error: float  # distance of the outputs of all heads, a part of their norm
    estimate: float  # what the method says of it; 0 where it says nothing


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
        busy = [row for row, clock in enumerate(cache.clocks) if clock and cache.active[row]]
        for row in busy:
            clock, layer = cache.clocks[row], cache.layers[index]
            if not clock.steps:
                column[0, row, :, : clock.prompt] = layer.keys[row, :, : clock.prompt]
                column[1, row, :, : clock.prompt] = layer.values[row, :, : clock.prompt]
        rows = torch.arange(len(position), device=position.device)
        column[0, rows, :, position], column[1, rows, :, position] = key[:, :, 0], value[:, :, 0]
        before = self.noted()
        output = self.inner(index, query, key, value, scale)
        lengths = (position + 1).to(torch.int32)[:, None].expand(-1, cache.shape.heads)
        grouped = query.reshape(len(position), *cache.shape[1:4])
        longest = int(position.max()) + 1
        dense, _ = attend.attend(grouped, column[0], column[1], lengths, longest=longest, scale=scale)
        away = (output.view_as(dense).float() - dense.float()).square().sum((1, 2, 3))
        error = (away / output.float().square().sum((1, 2, 3))).sqrt()
        estimate = (self.noted() - before) * cache.shape.layers
        for row in busy:
            self.found.append(Missed(row, int(position[row]), index, float(error[row]), float(estimate[row])))
        return output

    def noted(self) -> Tensor:
        """[B] of the step so far; 0 where the method notes nothing."""
        used = self.cache.used
        if not used.errors.numel():
            return torch.zeros(used.count, device=used.positions.device)
        return used.errors.gather(1, used.positions[:, None])[:, 0].clone()
