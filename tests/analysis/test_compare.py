import pytest
from kvarena.analysis.compare import compare_runs


def test_two_runs_paired_with_what_flipped(write, tmp_path, record, dense):
    write("full", [record(sample=f"p{i}", score=float(i != 0)) for i in range(4)], samples=4, **dense)
    rows = [record(sample=f"p{i}", score=float(i < 2), loop_onset=7 if i == 3 else None) for i in range(5)]
    write("a", rows, samples=6)
    assert compare_runs(tmp_path / "full", tmp_path / "a") == (
        "A  full on graph_search (hard), reasoner\n"
        "B  snapkv on graph_search (hard), reasoner, 4x, 128 tokens, incomplete 5/6\n"
        "not recorded: weights, sampler, max_tokens, template, dtype, prompts\n"
        "\n"
        "pass@1, 4 problems in common (A has 4, B has 5)\n"
        "  A       0.750 [0.284, 0.947]\n"
        "  B       0.500 [0.147, 0.853]\n"
        "  A - B   0.250 [-1.000, 1.000], sign-flip p = 1\n"
        "\n"
        "loop rate, 4 problems in common (A has 4, B has 5)\n"
        "  A       0.000 [0.000, 0.522]\n"
        "  B       0.250 [0.053, 0.716]\n"
        "  A - B  -0.250 [-1.000, 0.563], sign-flip p = 1\n"
        "\n"
        "solved by A alone: 2\n"
        "  p2  1.00 0.00\n"
        "  p3  1.00 0.00\n"
        "solved by B alone: 1\n"
        "  p0  0.00 1.00\n"
    )


def test_nothing_in_common_is_said(write, tmp_path, record):
    write("a", [record(sample="x")], samples=1)
    write("b", [record(sample="y"), record(sample="z")], samples=2)
    assert "pass@1: no problem in common (A has 1, B has 2)" in compare_runs(tmp_path / "a", tmp_path / "b")


def test_a_folder_of_several_runs_is_refused(write, tmp_path, record):
    write("a/one", [record()], samples=1)
    write("a/two", [record()], samples=1)
    with pytest.raises(ValueError, match=r"holds 2 runs: give the folder of one, such as .*a/one"):
        compare_runs(tmp_path / "a", tmp_path / "a/one")
