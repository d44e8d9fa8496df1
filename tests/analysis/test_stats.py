import numpy as np
import pytest
from kvarena.analysis.stats import difference, estimate, holm, loop_rate, pass_at_1, problem_means, score, sign_flip
from scipy.stats import permutation_test


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


def test_more_draws_of_the_same_outcome_do_not_narrow_it(record):
    def records(draws):
        return [record(sample=f"s{i}", draw=d, score=float(i % 2)) for i in range(20) for d in range(draws)]

    assert pass_at_1(records(1)) == pass_at_1(records(8))


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
    assert estimate(hard).low < estimate(harder).high


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
