"""Two forced runs are compared over the texts that both forced, and over no others."""

import math

import pytest
from kvarena.analysis.drift_pairs import drift_pairs
from kvarena.analysis.load import load

FORCED = {"reference": "runs/dense"}


@pytest.fixture
def forced(write, record):
    def run(name, drift, config=FORCED, **labels):
        """drift: {(sample, draw): (KL, its only token)}."""
        records = [
            record(sample=sample, draw=draw, token_ids=[token], num_tokens=1, score=None, kl=[kl])
            for (sample, draw), (kl, token) in drift.items()
        ]
        write(name, records, samples=2, draws=2, config=config, **(labels or {"method": name}))

    return run


def only_pair(folder):
    (pair,) = drift_pairs(load(folder)).to_dict("records")
    return pair


def test_the_ratio_on_the_same_problem(forced, tmp_path):
    forced("snapkv", {("s0", 0): (0.1, 7), ("s1", 0): (0.2, 7)})
    forced("knorm", {("s0", 0): (0.4, 7), ("s1", 0): (0.8, 7)})
    pair = only_pair(tmp_path)
    assert (pair["a"], pair["b"], pair["common"], pair["unlike"]) == ("knorm", "snapkv", 2, "")
    assert [pair[name] for name in ("times", "low", "high")] == pytest.approx([4, 4, 4])


def test_a_draw_that_one_of_them_lacks_counts_for_neither(forced, tmp_path):
    forced("snapkv", {("s0", 0): (0.1, 7), ("s0", 1): (0.9, 8)})
    forced("knorm", {("s0", 0): (0.2, 7)})
    pair = only_pair(tmp_path)
    assert (pair["common"], pair["times"]) == (1, pytest.approx(2))


def test_other_completions_of_the_same_problem_are_not_paired(forced, tmp_path):
    forced("snapkv", {("s0", 0): (0.1, 7), ("s1", 0): (0.2, 7)})
    forced("knorm", {("s0", 0): (0.4, 8), ("s1", 0): (0.8, 8)}, config={"reference": "runs/sampled"})
    pair = only_pair(tmp_path)
    assert (pair["common"], pair["unlike"]) == (0, "texts")
    assert math.isnan(pair["times"])


def test_another_dtype_is_not_paired(forced, tmp_path):
    for name, dtype in (("snapkv", "float32"), ("knorm", "bfloat16")):
        forced(name, {("s0", 0): (0.1, 7)}, config=FORCED | {"model": {"dtype": dtype}})
    pair = only_pair(tmp_path)
    assert (pair["common"], pair["unlike"], math.isnan(pair["times"])) == (0, "dtype", True)


def test_two_runs_of_one_name_are_told_apart_by_their_folder(forced, tmp_path):
    for name in ("a", "b"):
        forced(name, {("s0", 0): (0.1, 7)}, method="snapkv")
    pair = only_pair(tmp_path)
    assert (pair["a"], pair["b"], pair["run_a"], pair["run_b"]) == ("snapkv", "snapkv", "a", "b")
