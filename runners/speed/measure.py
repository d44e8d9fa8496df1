"""The time of a decoder's steps and rounds, and the bytes that a step has to read."""

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from ...methods.policy import Policy
from ..cache import Clock
from ..generate import Decoder
from ..model import Model, output_projection
from .stopwatch import seconds


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """What a step takes, beside the least that its bytes allow."""

    ms_p50: float  # without rounds
    ms_p95: float
    ms: float  # its share of the rounds included
    tokens_per_s: float
    limit_ms: float
    mbu: float  # 0 to 1: limit_ms / ms
    evict_share: float  # 0 to 1: of the time
    weight_bytes: int  # read in a step
    kv_bytes: int  # live, read in a step
    copy_gb_per_s: float


class MeasuredSteps(NamedTuple):
    bursts: list[tuple[int, float]]  # steps, seconds
    rounds: list[float]  # seconds
    kv_bytes: float  # live, mean over the steps

    @property
    def taken(self) -> float:
        """Seconds of all together."""
        return sum(taken for _, taken in self.bursts) + sum(self.rounds)

    @property
    def seconds(self) -> float:
        """Of a step, its share of the rounds included."""
        return self.taken / sum(count for count, _ in self.bursts)

    def step_time(self, batch: int, weights: int, rate: float) -> StepTime:
        """Of so many rows; bytes of weights, bytes a second."""
        ms, limit = 1e3 * self.seconds, 1e3 * (weights + self.kv_bytes) / rate
        each = sorted(1e3 * taken / count for count, taken in self.bursts)
        return StepTime(
            ms_p50=round(statistics.median(each), 4),
            ms_p95=round(each[int(0.95 * (len(each) - 1))], 4),
            ms=round(ms, 4),
            tokens_per_s=round(batch / ms * 1e3, 1),
            limit_ms=round(limit, 4),
            mbu=round(limit / ms, 4),
            evict_share=round(sum(self.rounds) / self.taken, 4),
            weight_bytes=weights,
            kv_bytes=round(self.kv_bytes),
            copy_gb_per_s=round(rate / 1e9, 1),
        )


def measure_steps(decoder: Decoder, steps: int) -> MeasuredSteps:
    cache = decoder.cache
    bursts, rounds, kv = [], [], 0.0
    pair = cache.layers[0].pair_bytes
    while (done := sum(count for count, _ in bursts)) < steps:
        count = min(decoder.until_due(), steps - done)
        kv += pair * count * sum(slots_read(clock, decoder.policy, count) for clock in cache.clocks if clock)
        bursts.append((count, seconds(partial(decoder.advance, count), decoder.device)))
        if due := cache.due():
            rounds.append(seconds(partial(decoder.round, due), decoder.device))
            cache.evicted(due)
    return MeasuredSteps(bursts, rounds, kv / steps)


def slots_read(clock: Clock, policy: Policy, count: int) -> float:
    """Slots per KV head that a step reads in all layers, mean over the next `count` steps."""
    total = 0.0
    for layer, slots in enumerate(clock.resident):
        most = policy.tokens_read(layer, clock.num_layers)
        total += min(slots + (count + 1) / 2, most or torch.inf)
    return total


def weight_bytes(model: Model) -> int:
    """Bytes of the parameters that a step reads: all but an embedding of its own, of which it takes a row a token."""
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    table = cast(nn.Embedding, cast(Any, model).get_input_embeddings()).weight
    tied = output_projection(model).weight is table
    return total if tied else total - table.numel() * table.element_size()
