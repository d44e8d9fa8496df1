"""An engine against the eager one, step by step from the same state: before its time counts.

B rows, H KV heads, N slots, D head dim, V tokens of the vocabulary.
"""

import statistics
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ...kernels.noise import Noise
from ..cache import KVCache
from ..generate import Decoder
from ..model import own_attention
from .placement import place_rows


class Witness(Decoder):
    """An eager decoder that shows its logits."""

    logits: Tensor  # [B, V] of the last choice

    def choose(self, seen: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        self.logits = seen.float()
        return super().choose(seen, noise, rows, num_chosen)


class Agreement(NamedTuple):
    share: float  # of the engine's tokens that eager decoding chooses from the same state
    # the largest distance of a chosen logit below the eager engine's best, in standard deviations of the logits
    regret: float
    # the largest distance of what a step has written to a layer, its keys or its values, to what the eager engine has
    # written there, over their norm: another vector is 1.4 away
    written: float


def compare_engines(engine: Decoder, witness: Witness, position: int, *, steps: int, stagger: bool) -> Agreement:
    """Decoders of one seed, so that what is placed in them is the same; after each step the witness takes the state.

    Else they would part, and the farther the coarser the codes are: a sum that is rounded otherwise may fall on the
    other side of a border.
    """
    same, regret, distance = [], 0.0, 0.0
    with own_attention(engine.model), own_attention(witness.model), torch.inference_mode():
        engine.prepare()
        place_rows(engine, position, stagger)
        place_rows(witness, position, stagger)
        for _ in range(steps):
            for decoder in (witness, engine):
                decoder.advance(1)
            chosen = engine.buffer.last[:, None]
            same.append((chosen == witness.buffer.last[:, None]).float().mean().item())
            gap = witness.logits.amax(-1, keepdim=True) - witness.logits.gather(1, chosen)
            regret = max(regret, (gap / witness.logits.std(-1, keepdim=True)).max().item())
            for ours, theirs in zip(written(engine.cache), written(witness.cache), strict=True):
                distance = max(distance, ((ours - theirs).norm() / theirs.norm()).item())
            witness.buffer.last.copy_(engine.buffer.last)
            if due := engine.cache.due():
                for decoder in (witness, engine):
                    decoder.evict(due)
            for layer, other in zip(witness.cache.layers, engine.cache.layers, strict=True):
                layer.take(other)
    return Agreement(round(statistics.mean(same), 4), round(regret, 4), round(distance, 4))


def written(cache: KVCache) -> Iterator[Tensor]:
    """Keys and values [B, H, 1, D] of the step's tokens, layer by layer, as they are read."""
    for layer in cache.layers:
        newest = (layer.lengths - 1).long()[..., None, None].expand(-1, -1, 1, cache.shape.dim)
        for column in layer.stored(slice(None), cache.positions):
            yield column.float().gather(2, newest)
