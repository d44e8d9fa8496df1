"""kvarena-profile, on the reasoner."""

import sys

import pytest
import yaml
from kvarena.runners import evaluate
from kvarena.runners.model import Checkpoint
from kvarena.runners.profile import DenseTexts, refuse_unlike
from kvarena.runners.profile.command import main

DENSE = [
    "difficulty=easy",
    "num_samples=3",
    "max_tokens=12",
    "device=cpu",
    "engine.batch_size=3",
    "model.dtype=float32",
]


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["kvarena", *DENSE, *words])
    evaluate.main()


@pytest.fixture(scope="module")
def recorded(runs_in):
    return runs_in("profile", [*DENSE, "method=full", "output_dir=dense"])


@pytest.fixture
def dense(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    return recorded


def test_a_profile_of_a_run_and_a_run_by_the_profile(dense, monkeypatch, capsys):
    assert main(["reasoner", "dense", "--texts=2", "--device=cpu", "--rho=0.9"]) == 0
    made = yaml.safe_load((dense / "profiles/reasoner.yaml").read_text())
    assert (made["model"], made["rho"], made["texts"], made["steps"]) == ("reasoner", 0.9, 2, 2 * 11)
    assert (made["task"], made["difficulty"], len(made["demand"])) == ("graph_search", "easy", 8)
    assert all(1 < each < 300 for each in made["demand"])
    assert sum(made["shares"]) == pytest.approx(1, abs=1e-3)
    assert {"weights", "tokenizer"} == set(made["fingerprints"])
    assert all(made["fingerprints"].values())
    assert (dense / "profiles/reasoner.png").read_bytes().startswith(b"\x89PNG")
    words = capsys.readouterr().out.splitlines()[-1].partition("kvarena ")[2].split()
    run(monkeypatch, *words, "compression.ratio=2", "dry_run=true")
    assert "0 of 3 done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["other", "dense"], "the run dense is of model reasoner, give reasoner, or the folder of its weights"),
        (["reasoner", "nowhere"], "no run.json there"),
        (["reasoner", "dense", "--device=tpu5"], "device=tpu5"),
    ],
    ids=["model", "run", "device"],
)
def test_what_is_wrong_is_one_line(dense, capsys, words, said):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("kvarena-profile: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("rho", ["0", "1.5", "most"])
def test_a_part_is_a_part(rho, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["reasoner", "dense", f"--rho={rho}"])
    assert "--rho" in capsys.readouterr().err


def test_a_model_without_a_profile_is_refused_by_the_command_that_makes_one(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "method=reasonalloc", "model=qwen3_8b", "compression.ratio=2")
    error = capsys.readouterr().err
    assert "model qwen3_8b has no profile here: kvarena-profile qwen3_8b RUN" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["", "demand: 5", "a: [", "- 1"])
def test_a_file_that_is_no_profile_is_refused(monkeypatch, tmp_path, capsys, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "method=reasonalloc", "method.profile=x.yaml", "compression.ratio=2")
    error = capsys.readouterr().err
    assert "x.yaml is no profile of kvarena-profile" in error
    assert error.count("\n") == 1


def test_runs_that_one_model_cannot_read_are_refused():
    def said(run, dtype="float32", weights="a"):
        origin = {"run": run, "fingerprints": {"weights": {"model.safetensors": weights}}}
        return DenseTexts(Checkpoint(name="reasoner", dtype=dtype), [], origin, 100)

    refuse_unlike([said("1"), said("2")], ["one", "two"])
    for other, name in ((said("2", dtype="bfloat16"), "dtype"), (said("2", weights="b"), "weights")):
        with pytest.raises(ValueError, match=f"one and two differ in {name}: give runs of one model in one dtype"):
            refuse_unlike([said("1"), other], ["one", "two"])
