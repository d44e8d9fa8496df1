"""Rows put in the middle of a long sequence, with random keys and values, as if they had decoded up to there."""

import torch
from torch import Tensor

from ...kernels.noise import Noise
from ..cache import KVCache, Layer
from ..generate import Decoder, Request, RunningSequence


def place_rows(decoder: Decoder, position: int, stagger: bool) -> None:
    """Fill all rows as if they had decoded up to `position`, alike in decoders of one seed.

    Staggered rows are due one after the other.
    """
    cache, policy = decoder.cache, decoder.policy
    rng = torch.Generator(cache.device).manual_seed(decoder.seed)
    interval = policy.budget.interval if policy.evicts else 0
    decoder.buffer.last.zero_()
    for row in range(cache.batch_size):
        cache.admit(row, position, Noise.key(decoder.seed, row, 0))
        clock = cache.clocks[row]
        if policy.evicts and position > policy.budget.tokens:
            clock.evicted()
        if stagger:
            clock.step(row * interval // cache.batch_size)
        cache.positions[row] = clock.position
        request = Request(str(row), 0, [0])
        decoder.running[row] = RunningSequence(request=request, prefill_s=0.0, started=0.0, token_ids=[0])
        for index, layer in enumerate(cache.layers):
            fill_randomly(cache, layer, row, clock.resident[index], clock.position, rng)


def fill_randomly(cache: KVCache, layer: Layer, row: int, slots: int, position: int, rng: torch.Generator) -> None:
    """Random keys, values and queries; positions spread over the sequence up to the newest."""
    heads, dim = cache.shape.heads, cache.shape.dim

    def draw(*size: int) -> Tensor:
        # with large keys the attention hangs on one slot, and on every rounding
        return torch.empty(1, heads, *size, dim, dtype=cache.dtype, device=cache.device).normal_(std=0.1, generator=rng)

    keys, values = draw(slots), draw(slots)
    layer.fill(
        slice(row, row + 1),
        position,
        keys=keys,
        values=values,
        positions=torch.linspace(0, position - 1, slots, device=layer.keys.device).to(torch.int32)[None, None],
        queries=draw(*layer.queries.shape[2:4]),
        noted=cache.notes(keys, values),
    )
