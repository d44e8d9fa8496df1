"""Runs that differ in more than their method are not paired, and every table says in what."""

import pandas as pd
import pytest
from kvarena.analysis.compare import compare_runs
from kvarena.analysis.likeness import Unlike, unlike
from kvarena.analysis.load import load
from kvarena.analysis.pairs import pairs
from kvarena.analysis.tables import results
from kvarena.analysis.wide import wide_markdown

LIKE = {
    "fingerprints": {"weights": {"model.safetensors": "a"}},
    "template_sha256": "t",
    "prompts_sha256": "p",
}
CONFIG = {"sampler": {"_target_": "Greedy"}, "max_tokens": 730, "model": {"dtype": "float32"}}


@pytest.fixture
def run(write, record):
    """run(name, config=, header=, method=, ...): eight problems, each asked as its hash says."""

    def build(name, *, config=None, header=None, prompts="abcdefgh", score=1.0, **labels):
        rows = [record(sample=f"s{i}", prompt_sha=prompt, score=score) for i, prompt in enumerate(prompts)]
        folder = write(name, rows, samples=len(rows), config=CONFIG | (config or {}), **labels)
        folder.note(**(LIKE | (header or {})))

    return build


OTHERS = [
    ("weights", {}, {"fingerprints": {"weights": {"model.safetensors": "b"}}}),
    ("sampler", {"sampler": {"_target_": "Sampling", "temperature": 0.6}}, {}),
    ("sampler", {"sampler": {"_target_": "Greedy", "repetition_penalty": 1.1}}, {}),
    ("max_tokens", {"max_tokens": 64}, {}),
    ("template", {}, {"template_sha256": "u"}),
    ("dtype", {"model": {"dtype": "bfloat16"}}, {}),
]


@pytest.mark.parametrize(("name", "config", "header"), OTHERS)
def test_what_differs_is_named_everywhere_and_nothing_is_paired(run, tmp_path, dense, name, config, header):
    run("full", **dense)
    run("a", config=config, header=header, method="a", score=0.0)
    run("b", method="b", score=0.0)
    table = results(load(tmp_path)).set_index("method")
    assert table["unlike"].to_dict() == {"full": "", "a": name, "b": ""}
    assert table["gain"].isna().to_dict() == {"full": True, "a": True, "b": False}
    assert table.loc["a", "note"].endswith(f"not paired with dense: another {name}")
    (pair,) = pairs(load(tmp_path)).to_dict("records")
    assert (pair["unlike"], pd.isna(pair["gain"]), pd.isna(pair["common"])) == (name, True, True)
    text = compare_runs(tmp_path / "full", tmp_path / "a")
    assert f"not paired, for they are unlike: {name}\n" in text
    assert "A - B" not in text
    wide = wide_markdown(results(load(tmp_path)))
    assert "| a | 0.0‡ | - |" in wide
    assert "| b | 0.0† | 0.0 |" in wide


def test_all_that_differs_is_listed(run, tmp_path, dense):
    run("full", **dense)
    run("a", config={"max_tokens": 64, "model": {"dtype": "bfloat16"}}, method="a")
    a, full = load(tmp_path)
    assert unlike(a, full) == Unlike(("max_tokens", "dtype"), ())


def test_numbers_that_are_equal_and_keys_that_were_not_there_yet_are_alike(run, tmp_path, dense):
    run("full", config={"sampler": {"_target_": "Sampling", "temperature": 1}}, **dense)
    new = {"_target_": "Sampling", "temperature": 1.0, "repetition_penalty": 1.0, "suppress_tokens": []}
    run("a", config={"sampler": new}, method="a")
    a, full = load(tmp_path)
    assert unlike(a, full) == Unlike((), ())


def test_what_is_not_recorded_is_said_and_refuses_nothing(run, write, tmp_path, record, dense):
    run("full", **dense)
    write("a", [record(sample=f"s{i}", score=0.0) for i in range(8)], samples=8, method="a")
    row = results(load(tmp_path)).set_index("method").loc["a"]
    assert row["not_recorded"] == "weights, sampler, max_tokens, template, dtype, prompts"
    assert (row["unlike"], row["common"], row["gain"]) == ("", 8, -1.0)
    assert "not recorded: weights, sampler" in compare_runs(tmp_path / "full", tmp_path / "a")


def test_problems_are_told_apart_by_their_prompts_and_not_by_their_names(run, tmp_path, dense):
    run("full", prompts="abcdefgh", **dense)
    run("a", prompts="abcdXXXX", method="a", score=0.0)
    row = results(load(tmp_path)).set_index("method").loc["a"]
    assert (row["common"], row["gain"]) == (4, -1.0)
    assert row["note"] == "4 of 8 problems in common with dense"


@pytest.mark.parametrize(("samples", "differs"), [(8, ("prompts",)), (4, ())])
def test_of_old_runs_the_hash_of_all_prompts_decides_where_it_is_of_as_many(run, tmp_path, dense, samples, differs):
    """Of another number of samples it is another hash at any rate, and so says nothing."""
    run("full", prompts=[None] * 8, **dense)
    run("a", prompts=[None] * samples, header={"prompts_sha256": "q"}, method="a")
    a, full = load(tmp_path)
    assert unlike(a, full).differs == differs


def test_of_several_dense_runs_the_one_that_is_like_counts(run, tmp_path, dense):
    run("full", **dense)
    run("short", config={"max_tokens": 64}, prompts="abcd", **dense)
    run("a", config={"max_tokens": 64}, prompts="abcd", method="a", score=0.0)
    row = results(load(tmp_path)).set_index("run").loc["a"]
    assert (row["common"], row["gain"], row["unlike"]) == (4, -1.0, "")
