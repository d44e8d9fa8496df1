"""How sure a number is: the problems are the sample, the draws of one problem are averaged first.

Intervals resample problems. The percentile interval of a plain bootstrap is too narrow for few problems, so its tails
are widened as Student's interval is (Hesterberg 2015, doi:10.1080/00031305.2015.1089789). Where all problems have one
value there is nothing to resample: then a share z^2 / (n + z^2) of problems, which the sample may have missed by
chance, could lie anywhere, which for all right or all wrong is Wilson's interval.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from ..runners.record import Record

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0
BOUNDS = (0.0, 1.0)  # of a score or a rate

Problem = tuple[str, str]  # sample and target: two runs share a problem where both agree


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Of two runs, over the problems that both have."""

    num_common: int
    estimate: Estimate
    p: float  # sign-flip permutation test, two-sided


def pass_at_1(records: Iterable[Record]) -> Estimate:
    """Mean over problems of the mean over draws, with its interval; NaN where nothing is graded."""
    return estimate(problem_means(records, score))


def loop_rate(records: Iterable[Record]) -> Estimate:
    return estimate(problem_means(records, loops))


def score(record: Record) -> float | None:
    """NaN is no verdict."""
    return None if record.score is None or np.isnan(record.score) else record.score


def loops(record: Record) -> float:
    return float(record.loop_onset is not None)


def problem_means(records: Iterable[Record], measure: Callable[[Record], float | None]) -> dict[Problem, float]:
    """The mean of each problem over its draws; a draw of None is left out, and a problem without any."""
    values = defaultdict(list)
    for record in records:
        if (value := measure(record)) is not None:
            values[record.sample, record.target].append(value)
    return {problem: sum(draws) / len(draws) for problem, draws in values.items()}


def estimate(means: Mapping[Problem, float]) -> Estimate:
    return bootstrap_mean(np.array([means[problem] for problem in sorted(means)]))


def difference(a: Mapping[Problem, float], b: Mapping[Problem, float]) -> Difference:
    """a minus b, paired by problem."""
    common = sorted(a.keys() & b.keys())
    gaps = np.array([a[problem] - b[problem] for problem in common])
    return Difference(len(common), bootstrap_mean(gaps, bounds=(-1.0, 1.0)), sign_flip(gaps))


def bootstrap_mean(values: np.ndarray, bounds: tuple[float, float] = BOUNDS) -> Estimate:
    """The mean of values [n] and its interval, which depends on the values and their order alone."""
    n = len(values)
    if not n:
        return Estimate(np.nan, np.nan, np.nan)
    value = float(values.mean())
    if values.min() == values.max():
        unseen = float(norm.ppf(0.5 + LEVEL / 2)) ** 2
        share = unseen / (n + unseen)
        return Estimate(value, value - share * (value - bounds[0]), value + share * (bounds[1] - value))
    means = resamples(n) @ values.astype(np.float32) / np.float32(n)
    low, high = np.quantile(means, [tail(n), 1 - tail(n)])
    return Estimate(value, float(low), float(high))


def tail(n: int) -> float:
    """The quantile at which a widened percentile interval of n values ends."""
    return float(norm.cdf(t.ppf((1 - LEVEL) / 2, n - 1) * np.sqrt(n / (n - 1))))


@lru_cache(maxsize=4)
def resamples(n: int) -> np.ndarray:
    """How often each of n problems is drawn, [RESAMPLES, n]."""
    return np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.float32)


def sign_flip(gaps: np.ndarray) -> float:
    """How often flipping signs at random makes a mean as large; every flip is tried where there are few enough."""
    gaps = gaps[gaps != 0]
    if not len(gaps):
        return 1.0
    exact = 2 ** len(gaps) <= RESAMPLES
    signs = all_signs(len(gaps)) if exact else random_signs(1 << (len(gaps) - 1).bit_length())[:, : len(gaps)]
    sums = np.abs(signs @ gaps)
    as_large = int((sums >= abs(gaps.sum()) - 1e-9).sum())
    return as_large / len(sums) if exact else (as_large + 1) / (len(sums) + 1)


def all_signs(n: int) -> np.ndarray:
    """[2^n, n]"""
    return 1.0 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)


@lru_cache(maxsize=4)
def random_signs(n: int) -> np.ndarray:
    """[RESAMPLES, n]; asked for powers of two, so that few are made."""
    return 1.0 - 2.0 * np.random.default_rng(SEED).integers(2, size=(RESAMPLES, n))


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold for all of the tests together."""
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, index in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = largest
    return adjusted
