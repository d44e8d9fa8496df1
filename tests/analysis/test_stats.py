import numpy as np
import pytest
from kvarena.analysis.stats import RESAMPLES, bootstrap_mean, pass_at_1, problem_means
from scipy.stats import bootstrap


def coins(right, wrong):
    return np.array([1.0] * right + [0.0] * wrong)


def test_problems_weigh_the_same_however_many_draws_they_have(record):
    scores = {"a": [1.0, 1.0, 0.0, 0.0], "b": [1.0], "c": [0.0, 1.0]}
    records = [record(sample=s, draw=i, score=x) for s, xs in scores.items() for i, x in enumerate(xs)]
    assert problem_means(records) == {"a": 0.5, "b": 1.0, "c": 0.5}
    assert pass_at_1(records).value == pytest.approx(2 / 3)


def test_ungraded_draws_and_problems_are_left_out(record):
    records = [
        record(sample="a", draw=0, score=1.0),
        record(sample="a", draw=1, score=None),
        record(sample="b", score=None),
        record(sample="c", score=0.0),
    ]
    assert problem_means(records) == {"a": 1.0, "c": 0.0}
    assert pass_at_1(records).value == 0.5


def test_nothing_graded_is_nan(record):
    assert np.isnan(pass_at_1([])).all()
    assert np.isnan(pass_at_1([record(score=None)])).all()


def test_the_interval_of_two_problems_is_known_by_hand():
    # the mean is 0, 1/2, 1 with probability 1/4, 1/2, 1/4
    assert bootstrap_mean(np.array([0.0, 1.0])) == (0.5, 0.0, 1.0)


def test_the_interval_is_near_the_normal_one():
    estimate = bootstrap_mean(coins(60, 40))
    half = 1.96 * np.sqrt(0.6 * 0.4 / 100)
    assert estimate.value == pytest.approx(0.6)
    assert estimate.low == pytest.approx(0.6 - half, abs=0.011)
    assert estimate.high == pytest.approx(0.6 + half, abs=0.011)


def test_the_interval_is_scipys_percentile_interval():
    values = np.random.default_rng(1).random(40)
    theirs = bootstrap((values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=2).confidence_interval
    assert bootstrap_mean(values)[1:] == pytest.approx(theirs, abs=0.005)


def test_the_interval_holds_the_mean_and_narrows():
    widths = []
    for n in (10, 100, 1000):
        estimate = bootstrap_mean(coins(7 * n // 10, 3 * n // 10))
        assert estimate.low < estimate.value < estimate.high
        widths.append(estimate.high - estimate.low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_more_draws_of_the_same_outcome_do_not_narrow_it(record):
    def records(draws):
        return [record(sample=f"s{i}", draw=d, score=float(i % 2)) for i in range(20) for d in range(draws)]

    assert pass_at_1(records(1)) == pass_at_1(records(8))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    estimates = [bootstrap_mean(rng.binomial(1, 0.5, size=50).astype(float)) for _ in range(200)]
    assert 0.90 <= np.mean([estimate.low <= 0.5 <= estimate.high for estimate in estimates]) <= 0.99


def test_the_order_of_the_records_does_not_matter(record):
    records = [record(sample=f"s{i}", score=float(i % 3 == 0)) for i in range(31)]
    assert pass_at_1(records) == pass_at_1(records[::-1])
