import pytest
from kvarena.analysis.load import load
from kvarena.analysis.pairs import pairs


def test_any_two_methods_at_one_ratio(write, tmp_path, record, dense):
    write("full", [record()], samples=1, **dense)
    for method, score in (("a", 1.0), ("b", 0.0), ("c", 0.0)):
        write(method, [record(sample=f"p{i}", score=score) for i in range(8)], samples=8, method=method)
    write("d", [record(sample="p0")], samples=1, method="d", ratio=2.0)
    write("e", [record(sample="p0")], samples=1, method="e", task="aime25")
    table = pairs(load(tmp_path))
    assert table[["a", "b", "common", "gain"]].values.tolist() == [
        ["a", "b", 8, 1.0],
        ["a", "c", 8, 1.0],
        ["b", "c", 8, 0.0],
    ]
    assert table.gain_p.tolist() == [2 / 256, 2 / 256, 1.0]
    assert table.gain_p_holm.tolist() == pytest.approx([6 / 256, 6 / 256, 1.0])


def test_methods_without_a_common_problem_make_no_pair(write, tmp_path, record):
    write("a", [record(sample="x")], samples=1, method="a")
    write("b", [record(sample="y")], samples=1, method="b")
    write("c", [], samples=1, method="c")
    assert pairs(load(tmp_path)).empty


def test_a_pair_says_which_of_its_runs_is_unfinished(write, tmp_path, record):
    write("a", [record(sample=f"p{i}") for i in range(3)], samples=4, method="a")
    write("b", [record(sample=f"p{i}") for i in range(4)], samples=4, method="b")
    write("c", [record(sample=f"p{i}") for i in range(4)], samples=4, method="c")
    table = pairs(load(tmp_path))
    assert table[["a", "b", "common", "unfinished"]].values.tolist() == [
        ["a", "b", 3, "a 3/4"],
        ["a", "c", 3, "a 3/4"],
        ["b", "c", 4, ""],
    ]


@pytest.mark.parametrize("draws", [2, 3])
def test_an_unfinished_pair_is_of_the_draws_that_both_have(write, tmp_path, record, draws):
    """Of one problem a is wrong, then right; b has been wrong once: over all draws of each a would be .5 ahead."""
    write("a", [record(draw=0, score=0.0), record(draw=1, score=1.0)], samples=1, draws=2, method="a")
    write("b", [record(draw=0, score=0.0)], samples=1, draws=draws, method="b")
    (pair,) = pairs(load(tmp_path)).to_dict("records")
    assert (pair["common"], pair["gain"]) == (1, 0.0)


def test_of_two_whole_runs_all_draws_count(write, tmp_path, record):
    write("a", [record(draw=0, score=0.0), record(draw=1, score=1.0)], samples=1, draws=2, method="a")
    write("b", [record(draw=0, score=0.0)], samples=1, method="b")
    (pair,) = pairs(load(tmp_path)).to_dict("records")
    assert (pair["common"], pair["gain"]) == (1, 0.5)


def test_a_draw_without_a_verdict_is_left_out_of_both(write, tmp_path, record):
    write("a", [record(draw=0, score=0.0), record(draw=1, score=1.0)], samples=1, draws=2, method="a")
    write("b", [record(draw=0, score=0.0), record(draw=1, score=None)], samples=1, draws=2, method="b")
    (pair,) = pairs(load(tmp_path)).to_dict("records")
    assert (pair["common"], pair["gain"]) == (1, 0.0)


def test_a_problem_without_a_common_draw_is_no_problem_in_common(write, tmp_path, record):
    write("a", [record(draw=0)], samples=1, draws=2, method="a")
    write("b", [record(draw=1)], samples=1, draws=2, method="b")
    assert pairs(load(tmp_path)).empty
