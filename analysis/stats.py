"""How sure a number is: the problems are the sample, the draws of one problem are averaged first.

Intervals are by formula (intervals.py), so they depend on the values alone; p-values flip signs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..runners.record import Record
from .intervals import Interval, of_difference, of_share

RESAMPLES = 10_000
SEED = 0

Problem = tuple[str, ...]  # sample, target and, where all records of the run have it, prompt_sha
Draw = tuple[Problem, int]


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


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


def score_unfinished(record: Record) -> float | None:
    """As VaSE grades: the last answer anywhere, in a thought that has not ended too; None in older records."""
    return record.score_unfinished


def loops(record: Record) -> float:
    return float(record.loop_onset is not None)


def problem_means(
    records: Iterable[Record],
    measure: Callable[[Record], float | None],
    key: Callable[[Record], Problem] | None = None,
) -> dict[Problem, float]:
    """The mean of each problem over its draws; a draw of None is left out, and a problem without any."""
    return over_draws(by_draw(records, measure, key))


def by_draw(
    records: Iterable[Record],
    measure: Callable[[Record], float | None],
    key: Callable[[Record], Problem] | None = None,
) -> dict[Draw, float]:
    """What is not None. Problems are told apart by `key`; None: by their prompts where all records have them."""
    records = list(records)
    key = key or (prompted if has_prompts(records) else named)
    values = ((key(record), record.draw, measure(record)) for record in records)
    return {(problem, draw): value for problem, draw, value in values if value is not None}


def over_draws(draws: Mapping[Draw, float]) -> dict[Problem, float]:
    values: dict[Problem, list[float]] = defaultdict(list)
    for (problem, _), value in draws.items():
        values[problem].append(value)
    return {problem: sum(each) / len(each) for problem, each in values.items()}


def has_prompts(records: Iterable[Record]) -> bool:
    return all(record.prompt_sha for record in records)


def prompted(record: Record) -> Problem:
    return record.sample, record.target, record.prompt_sha or ""


def named(record: Record) -> Problem:
    return record.sample, record.target


def estimate(means: Mapping[Problem, float]) -> Estimate:
    values = np.array([means[problem] for problem in sorted(means)])
    return spread(values, of_share(values)) if len(values) else NOTHING


def difference(a: Mapping[Problem, float], b: Mapping[Problem, float]) -> Difference:
    """a minus b, paired by problem."""
    common = sorted(a.keys() & b.keys())
    ours, theirs = (np.array([run[problem] for problem in common]) for run in (a, b))
    gaps = ours - theirs
    found = spread(gaps, of_difference(ours, theirs)) if common else NOTHING
    return Difference(len(common), found, sign_flip(gaps))


def spread(values: np.ndarray, interval: Interval) -> Estimate:
    return Estimate(float(values.mean()), *map(float, interval))


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
