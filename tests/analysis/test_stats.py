import numpy as np
import pytest
from kvarena.analysis.stats import (
    RESAMPLES,
    bootstrap_mean,
    difference,
    holm,
    loop_rate,
    pass_at_1,
    problem_means,
    score,
    sign_flip,
    tail,
)
from scipy.stats import bootstrap, permutation_test

STUDIES = 4000


def coins(right, wrong):
    return np.array([1.0] * right + [0.0] * wrong)


def test_problems_weigh_the_same_however_many_draws_they_have(record):
    scores = {"a": [1.0, 1.0, 0.0, 0.0], "b": [1.0], "c": [0.0, 1.0]}
    records = [record(sample=s, draw=i, score=x) for s, xs in scores.items() for i, x in enumerate(xs)]
    assert problem_means(records, score) == {("a", "a"): 0.5, ("b", "a"): 1.0, ("c", "a"): 0.5}
    assert pass_at_1(records).value == pytest.approx(2 / 3)


def test_ungraded_draws_and_problems_are_left_out(record):
    records = [
        record(sample="a", draw=0, score=1.0),
        record(sample="a", draw=1, score=None),
        record(sample="b", score=None),
        record(sample="b", draw=1, score=float("nan")),
        record(sample="c", score=0.0),
    ]
    assert problem_means(records, score) == {("a", "a"): 1.0, ("c", "a"): 0.0}
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


def test_the_interval_is_scipys_percentile_interval_at_the_widened_tails():
    values = np.random.default_rng(1).random(40)
    level = 1 - 2 * tail(40)
    assert 0.955 < level < 0.97
    theirs = bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=level, method="percentile", rng=2
    ).confidence_interval
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


def coverage(n, draw, truth):
    """How many of 4,000 studies have the truth in their interval."""
    rng = np.random.default_rng(0)
    estimates = [bootstrap_mean(draw(rng, n), bounds=(-1.0, 1.0)) for _ in range(STUDIES)]
    return np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])


def scores(rng, n):
    """Problems of very different difficulty, four draws each; pass@1 is 2/3."""
    return rng.binomial(4, rng.beta(2, 1, n)) / 4


def gaps(rng, n):
    """The same problems under a second method that is worse, most so on the hard ones."""
    chance = rng.beta(2, 1, n)
    return rng.binomial(4, chance**1.5) / 4 - rng.binomial(4, chance) / 4


@pytest.mark.parametrize("n", [64, 198])
@pytest.mark.parametrize(("draw", "truth"), [(scores, 2 / 3), (gaps, 2 / 3.5 - 2 / 3)], ids=["pass_at_1", "paired"])
def test_intervals_cover_the_truth_as_often_as_they_say(n, draw, truth):
    assert 0.93 <= coverage(n, draw, truth) <= 0.97


def test_coverage_at_30_problems_is_close():
    assert 0.92 <= coverage(30, scores, 2 / 3) <= 0.98


@pytest.mark.parametrize(("n", "low"), [(1, 0.2065), (16, 0.8064), (64, 0.9434)])
def test_all_right_and_all_wrong_have_wilsons_interval(n, low):
    assert bootstrap_mean(np.ones(n)) == pytest.approx((1.0, low, 1.0), abs=1e-4)
    assert bootstrap_mean(np.zeros(n)) == pytest.approx((0.0, 0.0, 1 - low), abs=1e-4)


def test_two_methods_that_never_differ_may_still_do():
    same = {(f"s{i}", ""): 1.0 for i in range(64)}
    pair = difference(same, same)
    assert pair.num_common == 64
    assert pair.estimate == pytest.approx((0.0, -0.0566, 0.0566), abs=1e-4)
    assert pair.p == 1.0


def test_differences_are_paired_over_what_is_common():
    a = {("s0", "x"): 1.0, ("s1", "x"): 0.5, ("s2", "x"): 1.0, ("s3", "x"): 1.0}
    b = {("s0", "x"): 0.0, ("s1", "x"): 0.5, ("s2", "other"): 1.0, ("s9", "x"): 0.0}
    pair = difference(a, b)
    assert pair.num_common == 2
    assert pair.estimate.value == 0.5
    assert difference(a, {}).num_common == 0
    assert np.isnan(difference(a, {}).estimate.value)


def test_pairing_sees_what_two_intervals_do_not():
    """Two methods, each right on half of very unequal problems: every gap points the same way."""
    hard = {(f"s{i}", ""): i / 60 for i in range(60)}
    harder = {problem: max(value - 0.05, 0.0) for problem, value in hard.items()}
    assert difference(harder, hard).estimate.high < 0
    a, b = bootstrap_mean(np.array([*hard.values()])), bootstrap_mean(np.array([*harder.values()]))
    assert a.low < b.high


def test_sign_flips_by_hand():
    assert sign_flip(np.array([1.0, 1.0, 1.0, 0.0])) == 2 / 8
    assert sign_flip(np.array([1.0, -1.0])) == 1.0
    assert sign_flip(np.zeros(5)) == 1.0


def test_sign_flips_are_scipys():
    gaps = np.random.default_rng(3).normal(0.25, 1, size=60)
    theirs = permutation_test((gaps,), np.mean, permutation_type="samples", n_resamples=50_000, rng=4).pvalue
    assert 0.01 < theirs < 0.5
    assert sign_flip(gaps) == pytest.approx(theirs, abs=0.01)


def test_sign_flips_reject_a_true_null_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = [sign_flip(rng.binomial(4, 0.7, 64) / 4 - rng.binomial(4, 0.7, 64) / 4) < 0.05 for _ in range(1000)]
    assert 0.03 <= np.mean(found) <= 0.07


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_loop_rate(record):
    records = [record(sample="a"), record(sample="a", draw=1, loop_onset=5), record(sample="b")]
    assert loop_rate(records).value == 0.25


def test_the_order_of_the_records_does_not_matter(record):
    records = [record(sample=f"s{i}", score=float(i % 3 == 0)) for i in range(31)]
    assert pass_at_1(records) == pass_at_1(records[::-1])
