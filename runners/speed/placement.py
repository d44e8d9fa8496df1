"""Rows put in the middle of a long sequence, with random keys and values, as if they had decoded up to there."""

import torch

from ...kernels import pages
from ...kernels.noise import Noise
from ...methods.policy import Policy
from ..cache import Layer
from ..generate import Decoder, Request, Row


def place(decoder: Decoder, position: int, stagger: bool) -> None:
    """Fill all rows as if they had decoded up to `position`; staggered ones are due one after the other."""
    cache, policy = decoder.cache, decoder.policy
    interval = policy.budget.interval if policy.evicts else 0
    decoder.chosen.last.zero_()
    for row in range(cache.batch_size):
        cache.admit(row, position, Noise.key(decoder.seed, row, 0))
        clock = cache.clocks[row]
        if policy.evicts and position > policy.budget.tokens:
            clock.evicted()
        if stagger:
            clock.step(row * interval // cache.batch_size)
        cache.positions[row] = clock.position
        decoder.rows[row] = Row(request=Request(str(row), 0, [0]), prefill_s=0.0, started=0.0, token_ids=[0])
        for index, layer in enumerate(cache.layers):
            fill(layer, row, clock.resident[index], clock.position, policy)


def fill(layer: Layer, row: int, slots: int, position: int, policy: Policy) -> None:
    """Random keys, values and queries; positions spread over the sequence up to the newest."""
    layer.lengths[row] = slots
    for column in (layer.keys, layer.values, layer.queries):
        column[row].normal_(std=0.1)  # with large keys the attention hangs on one slot, and on every rounding
    spread = torch.linspace(0, position - 1, slots, device=layer.keys.device)
    layer.positions[row, :, :slots] = spread.to(torch.int32)
    if layer.rank.numel():
        layer.rank[row] = layer.positions[row]
    if layer.page_min.numel():
        low, high = pages.bounds(layer.keys[row : row + 1, :, :slots], policy.needs.page)
        layer.page_min[row, :, : low.shape[2]], layer.page_max[row, :, : high.shape[2]] = low[0], high[0]
