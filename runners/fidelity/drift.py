"""How far one next-token distribution lies from another, and what that comes to over a text.

B tokens at a time of the T of a text, V tokens of the vocabulary, E hidden size.
"""

import math
import statistics
from typing import NamedTuple

import torch
from torch import Tensor, nn

ROWS = 64  # tokens at a time that a product takes: enough to be fast
IN_CACHE = 8  # of these at a time are compared on a CPU: they stay in a core's cache
DIGITS = 7  # after the point, of what is kept of each token


class Drift(NamedTuple):
    """Of each token of a text, dense against the method on the same tokens before it."""

    kl: list[float]  # KL(dense || method), nats
    nll: list[float]  # -log probability of the text's token: the method's less dense's, nats
    mass: list[float]  # probability that the method gives to dense's most probable token
    other: list[int]  # indices of the tokens at which the two have not the same most probable token

    @classmethod
    def of(cls, table: Tensor) -> "Drift":
        """From [T, 4] of `compare`."""
        kl, nll, mass, same = table.double().T.tolist()
        kl, nll, mass = ([round(value, DIGITS) for value in column] for column in (kl, nll, mass))
        return cls(kl, nll, mass, [index for index, value in enumerate(same) if not value])

    @property
    def broken(self) -> int | None:
        """Index of the first token at which the two cannot be compared; None: nowhere."""
        return next((index for index, kl in enumerate(self.kl) if not math.isfinite(kl)), None)

    def means(self) -> "Means":
        return Means(
            kl=statistics.fmean(self.kl),
            nll=statistics.fmean(self.nll),
            mass=statistics.fmean(self.mass),
            same=1 - len(self.other) / len(self.kl),
            first=self.other[0] if self.other else None,
        )


class Means(NamedTuple):
    """Of a text."""

    kl: float
    nll: float
    mass: float
    same: float  # share of the tokens at which the most probable one is the same
    first: int | None  # index of the first at which it is not; None: nowhere


def compare_states(head: nn.Linear, dense: Tensor, method: Tensor, tokens: Tensor) -> Drift:
    """Of last hidden states [T, E] of either, before tokens [T]. Both go through the same product of the same shape, so
    states that are equal drift by exactly nothing."""
    parts, at_a_time = [], IN_CACHE if dense.device.type == "cpu" else ROWS
    for *states, said in zip(dense.split(ROWS), method.split(ROWS), tokens.split(ROWS), strict=True):
        logits = (nn.functional.linear(one, head.weight, head.bias) for one in states)
        pieces = (one.split(at_a_time) for one in (*logits, said))
        parts += [compare_logits(*piece) for piece in zip(*pieces, strict=True)]
    return Drift.of(torch.cat(parts).cpu())


def compare_logits(dense: Tensor, method: Tensor, token: Tensor) -> Tensor:
    """[B, 4] float32: KL, difference of NLL, mass, 1 where the same is most probable; of logits [B, V], tokens [B]."""
    p, q = dense.float().log_softmax(-1), method.float().log_softmax(-1)
    weight, off = p.exp(), p - q
    said, top = token.clamp(min=0)[:, None], dense.argmax(-1, keepdim=True)
    nll = off.gather(1, said)[:, 0]
    # a token that dense never says adds nothing, whatever the method gives it
    kl = off.masked_fill_(weight == 0, 0).mul_(weight).sum(-1)
    same = method.argmax(-1) == top[:, 0]
    return torch.stack([kl, nll, q.gather(1, top)[:, 0].exp(), same.float()], -1)
