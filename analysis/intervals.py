"""95 % intervals of a mean over problems, by formula: of a share, and of a difference paired by problem.

A few problems say little of the rare ones: 30 problems, all right, may be of a set of which one in ten is missed. So
each interval counts problems that were not seen. That of a share counts one that is right and one that is wrong, as
Laplace did; the mean of all under weights drawn anew (the Bayesian bootstrap, Rubin 1981) has a known variance, and the
Beta of that mean and variance is taken for it, which is exact for one draw a problem. That of a difference is Student's
with a 25th of a problem that one method wins wholly, and one that the other wins. The numbers were chosen by simulation
(scripts/coverage.py); docs/statistics.md says where they hold and where they do not.

Shapes: problems are the last axis, [..., n]; whatever stands before is kept.
"""

import numpy as np
from scipy.special import betaincinv, stdtrit
from scipy.stats import norm

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
Z = float(norm.ppf(1 - TAIL))
UNSEEN = 1.0  # problems right, and as many wrong, beside those of a share
BESIDE_SURE = 0.5  # the same beside a run that is alike on every problem, which adds no width of its own
DISAGREED = 0.04  # problems won by each side, beside those of a difference

Interval = tuple[np.ndarray, np.ndarray]  # low, high


def of_share(values: np.ndarray, unseen: float = UNSEEN) -> Interval:
    """Of the mean of values in [0, 1]; it holds the mean of the values themselves."""
    total = values.shape[-1] + 2 * unseen
    mean = (values.sum(-1) + unseen) / total
    squares = np.square(values - mean[..., None]).sum(-1) + unseen * (mean**2 + (1 - mean) ** 2)
    weight = mean * (1 - mean) * total * (total + 1) / squares - 1
    low, high = (betaincinv(weight * mean, weight * (1 - mean), tail) for tail in (TAIL, 1 - TAIL))
    return np.minimum(low, values.mean(-1)), np.maximum(high, values.mean(-1))


def of_difference(a: np.ndarray, b: np.ndarray) -> Interval:
    """Of the mean of a - b, both in [0, 1]."""
    low, high = students(a - b)
    for one, other, sign in ((a, b, 1), (b, a, -1)):
        if (sure := alike(one)).any():  # then the difference is as unsure as the other at least
            ends = [sign * (one.mean(-1) - end) for end in of_share(other, BESIDE_SURE)]
            low = np.where(sure, np.minimum(low, np.minimum(*ends)), low)
            high = np.where(sure, np.maximum(high, np.maximum(*ends)), high)
    return low, high


def students(gaps: np.ndarray) -> Interval:
    """Of gaps in [-1, 1]; where all are alike, a share Z^2 / (n + Z^2) of problems may lie anywhere (Wilson 1927)."""
    n, observed = gaps.shape[-1], gaps.mean(-1)
    total = n + 2 * DISAGREED
    mean = gaps.sum(-1) / total
    squares = np.square(gaps - mean[..., None]).sum(-1) + DISAGREED * ((1 + mean) ** 2 + (1 - mean) ** 2)
    half = stdtrit(total - 1, 1 - TAIL) * np.sqrt(squares / total / (total - 1))
    share = Z**2 / (n + Z**2)
    low = np.where(alike(gaps), observed - share * (observed + 1), np.minimum(mean - half, observed))
    high = np.where(alike(gaps), observed + share * (1 - observed), np.maximum(mean + half, observed))
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def alike(values: np.ndarray) -> np.ndarray:
    return values.min(-1) == values.max(-1)
