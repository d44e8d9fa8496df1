"""How sure an accuracy is: the problems are the sample, the draws of one problem are averaged first."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..runners.record import Record

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


def pass_at_1(records: Sequence[Record]) -> Estimate:
    """Mean over problems of the mean over draws, with its interval; NaN where nothing is graded."""
    means = problem_means(records)
    return bootstrap_mean(np.array([means[sample] for sample in sorted(means)]))


def problem_means(records: Sequence[Record]) -> dict[str, float]:
    """The mean score of each problem over its graded draws, by sample id; a problem without any is left out."""
    scores = defaultdict(list)
    for record in records:
        if record.score is not None:
            scores[record.sample].append(record.score)
    return {sample: float(np.mean(draws)) for sample, draws in scores.items()}


def bootstrap_mean(values: np.ndarray) -> Estimate:
    """The mean of values [n] and its percentile interval, which depends on the values and their order alone."""
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan)
    chosen = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)), dtype=np.int32)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values[chosen].mean(axis=1), [tail, 1 - tail])
    return Estimate(float(values.mean()), float(low), float(high))
