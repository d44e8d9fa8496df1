"""An engine against the eager one, step by step from the same state: before its time counts.

B rows, V tokens of the vocabulary.
"""

import statistics

import torch
from torch import Tensor

from ...kernels.noise import Noise
from ..generate import Decoder
from ..model import own_attention
from .placement import place_rows


class Witness(Decoder):
    """An eager decoder that shows its logits."""

    logits: Tensor  # [B, V] of the last choice

    def choose(self, seen: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        self.logits = seen.float()
        return super().choose(seen, noise, rows, num_chosen)


def compare_engines(
    engine: Decoder, witness: Witness, position: int, *, steps: int, stagger: bool
) -> tuple[float, float]:
    """Share of the engine's tokens that eager decoding chooses from the same state, and the largest regret.

    The regret is how far a chosen logit lies below the eager engine's best, in standard deviations of the logits.
    Both decoders have one seed, so that what is placed in them is the same.
    """
    same, regret = [], 0.0
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
            witness.buffer.last.copy_(engine.buffer.last)
            if due := engine.cache.due():
                for decoder in (witness, engine):
                    decoder.evict(due)
    return round(statistics.mean(same), 4), round(regret, 4)
