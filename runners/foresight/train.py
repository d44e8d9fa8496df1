"""A scorer is trained to order pairs of slots as what is attended to later does: hinge, Adam, a falling rate.

E examples of a batch, L layers, A KV heads, M slots, F features.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from ...methods.scorer import NAMES, Scorer, untrained

MARGIN, RATE, WARM_UP, LONGEST_STEP = 0.01, 1e-2, 10, 1.0


def train_scorer(features: Tensor, worth: Tensor, *, steps: int, batch: int, seed: int = 0) -> Scorer:
    """Of examples [E, L, A, M, F] and what their slots are worth [E, L, A, M]; NaN: no slot.

    The network is trained on features of mean 0 and deviation 1, and takes them as they are.
    """
    device, rng = features.device, torch.Generator().manual_seed(seed)
    mean, deviation = moments(features, worth)
    begun = untrained(*features.shape[1:3], features.shape[-1], device)
    parts = {name: getattr(begun, name).clone().requires_grad_() for name in NAMES}
    adam = torch.optim.Adam(parts.values(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: rate(step, steps))
    for _ in range(steps):
        at = torch.randint(len(features), (batch,), generator=rng).to(device)
        seen = (features[at].float() - mean) / deviation
        loss = pair_loss(scores_of(Scorer(**parts), seen), worth[at])
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parts.values(), LONGEST_STEP)
        adam.step()
        schedule.step()
    return as_they_are(Scorer(**{name: part.detach() for name, part in parts.items()}), mean, deviation)


def moments(features: Tensor, worth: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [L, A, 1, F] over the slots that are there."""
    there = worth.isfinite()[..., None]
    count = there.sum((0, 3))[:, :, None]
    own = features.float().masked_fill(~there, 0)
    mean = own.sum((0, 3))[:, :, None] / count
    variance = ((own - mean).square() * there).sum((0, 3))[:, :, None] / count
    return mean, variance.sqrt().clamp(min=1e-6)


def scores_of(network: Scorer, features: Tensor) -> Tensor:
    """[E, L, A, M] of features [E, L, A, M, F]."""
    return torch.stack([network(layer, features[:, layer]) for layer in range(features.shape[1])], 1)


def pair_loss(scores: Tensor, worth: Tensor) -> Tensor:
    """Mean over examples and KV heads, summed over layers, of the hinge over all pairs of unlike worth [E, L, A, M]."""
    more = worth[..., :, None] > worth[..., None, :]  # never of what is NaN
    hinge = (MARGIN - scores[..., :, None] + scores[..., None, :]).clamp(min=0)
    each = hinge.masked_fill(~more, 0).sum((-2, -1)) / more.sum((-2, -1)).clamp(min=1)
    return each.mean((0, 2)).sum()


def rate(step: int, steps: int) -> float:
    """A part of the greatest: it rises, then falls as a cosine does."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / max(1, steps - WARM_UP)))


def as_they_are(network: Scorer, mean: Tensor, deviation: Tensor) -> Scorer:
    """The same network for features that are not brought to mean 0 and deviation 1 [L, A, 1, F]."""
    first = network.weight_in / deviation.mT
    return replace(network, weight_in=first, bias_in=network.bias_in - mean @ first)


def agreement(scores: Tensor, worth: Tensor) -> float:
    """Of pairs of unlike worth [E, L, A, M], the share that the scores order alike."""
    more = worth[..., :, None] > worth[..., None, :]
    return ((scores[..., :, None] > scores[..., None, :]) & more).sum().item() / more.sum().item()
