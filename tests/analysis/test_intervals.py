"""Literal values, and by simulation how often an interval holds the truth."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kvarena.analysis.intervals import of_difference, of_share
from scipy.stats import beta, t

ROOT = Path(__file__).parents[2]


def coins(right, wrong):
    return np.array([1.0] * right + [0.0] * wrong)


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("coverage", ROOT / "scripts/coverage.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("right", "wrong"), [(64, 0), (46, 18), (1, 29), (0, 16)])
def test_of_one_draw_it_is_the_beta_of_a_uniform_prior(right, wrong):
    low, high = of_share(coins(right, wrong))
    share = right / (right + wrong)
    assert low == pytest.approx(min(beta.ppf(0.025, right + 1, wrong + 1), share))
    assert high == pytest.approx(max(beta.ppf(0.975, right + 1, wrong + 1), share))


@pytest.mark.parametrize(("n", "low"), [(1, 0.1581), (16, 0.8049), (64, 0.9448)])
def test_all_right_and_all_wrong(n, low):
    assert of_share(np.ones(n)) == pytest.approx((low, 1.0), abs=1e-4)
    assert of_share(np.zeros(n)) == pytest.approx((0.0, 1 - low), abs=1e-4)


def test_of_two_problems_by_hand():
    """One right and one wrong of each kind: Beta(2, 2), whose distribution is 3 x^2 - 2 x^3."""
    low, high = of_share(np.array([0.0, 1.0]))
    assert 3 * low**2 - 2 * low**3 == pytest.approx(0.025)
    assert high == pytest.approx(1 - low)


def test_problems_of_middling_difficulty_are_surer_than_coins():
    """Half of the draws of each right; 32 problems with the one right and the one wrong have variance 0.5 / (32 33)."""
    low, high = of_share(np.full(30, 0.5))
    weight = 0.25 * 32 * 33 / 0.5 - 1
    assert (low, high) == pytest.approx(beta.ppf([0.025, 0.975], weight / 2, weight / 2))
    assert high - low == pytest.approx(0.0853, abs=1e-4)
    assert high - low == pytest.approx(0.2517 * np.diff(of_share(coins(15, 15))).item(), abs=1e-4)


def test_it_holds_the_mean_and_narrows():
    widths = []
    for n in (10, 100, 1000):
        low, high = of_share(coins(7 * n // 10, 3 * n // 10))
        assert low < 0.7 < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_a_difference_is_students_with_a_25th_of_a_problem_for_each_side():
    """Of gaps 1/2, 1/2, 0, 0: total 4.08, mean 1 / 4.08, 3.08 degrees of freedom."""
    gaps, weights = np.array([0.5, 0.5, 0.0, 0.0, 1.0, -1.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.04, 0.04])
    mean = 1 / 4.08
    error = np.sqrt((weights * (gaps - mean) ** 2).sum() / 3.08 / 4.08)
    low, high = of_difference(np.array([1.0, 0.5, 0.5, 0.0]), np.array([0.5, 0.0, 0.5, 0.0]))
    assert (low, high) == pytest.approx(t.interval(0.95, 3.08, mean, error))
    assert (low, high) == pytest.approx((-0.2669, 0.7571), abs=1e-4)


def test_differences_end_at_one():
    assert of_difference(np.ones(2), np.zeros(2)) == pytest.approx((-0.3152, 1.0), abs=1e-4)
    assert of_difference(np.zeros(2), np.ones(2)) == pytest.approx((-1.0, 0.3152), abs=1e-4)


def test_one_problem_lost_against_a_run_that_is_always_right_is_no_difference():
    low, high = of_difference(np.ones(64), coins(63, 1))
    assert low < 0 < high
    assert high == pytest.approx(1 - beta.ppf(0.025, 63.5, 1.5))


def test_many_studies_at_once_are_the_studies():
    values = np.random.default_rng(0).binomial(4, 0.9, (5, 2, 30)) / 4
    low, high = of_difference(values[:, 0], values[:, 1])
    for i in range(5):
        assert (low[i], high[i]) == pytest.approx(of_difference(values[i, 0], values[i, 1]))


def test_intervals_cover_the_truth_at_the_edges_where_a_bootstrap_does_not(script):
    """Beta of concentration 1 and mean .95, 30 problems of 16 draws."""
    rng = np.random.default_rng(0)
    values = rng.binomial(16, rng.beta(0.95, 0.05, (2000, 30))) / 16
    found = script.row(0.95, of_share(values), script.bootstrap(values, 0.0, 1.0))
    assert found["coverage"] >= 0.93
    assert found["bootstrap_coverage"] < 0.88
    assert found["width_ratio"] < 1.6


def gaps(rng, n):
    """The chances of two methods, the second worse, most so on the hard problems."""
    chance = rng.beta(2, 1, (2000, n))
    return rng.binomial(4, chance**1.5) / 4, rng.binomial(4, chance) / 4


@pytest.mark.parametrize("n", [30, 64, 198])
def test_paired_intervals_cover_the_truth_as_often_as_they_say(n, script):
    a, b = gaps(np.random.default_rng(0), n)
    found = script.row(2 / 3.5 - 2 / 3, of_difference(a, b), script.bootstrap(a - b, -1.0, 1.0))
    assert 0.93 <= found["coverage"] <= 0.97


PAIRS = ("as good on each problem", "as good on other problems", "p to the power of 1.5", "8 of 10 right ones")


def bounds_hold(table):
    """What the page says: a method, and a pair of methods of these kinds."""
    table = table[table["of"].isin(["one method", *PAIRS])]
    inside = table["mean"].between(0.2, 0.8)
    assert table[inside]["coverage"].min() >= 0.93
    assert table[~inside]["coverage"].min() >= 0.91
    assert table[inside]["width_ratio"].max() <= 1.35
    assert table[~inside]["width_ratio"].max() <= 1.8


def test_the_table_of_the_page_holds_what_it_says():
    table = pd.read_csv(ROOT / "analysis/results/coverage.csv")
    bounds_hold(table[(table["problems"] == 30) & (table["draws"] == 16)])
    several = table[table["problems"].isin([64, 198]) & (table["of"] == "one method")]
    assert several["coverage"].between(0.93, 0.97).all()


@pytest.mark.slow
def test_the_whole_grid(script):
    bounds_hold(pd.DataFrame(script.studies(2000, 30, 16)))
