"""kvarena-foresight, on the reasoner."""

import shutil
import sys
from importlib.resources import files

import pytest
from kvarena.methods.scorer import load_scorer
from kvarena.runners import evaluate
from kvarena.runners.foresight.command import main
from safetensors.torch import load_file, save_file

DENSE = ["difficulty=easy", "num_samples=3", "max_tokens=60", "device=cpu", "engine.batch_size=3"]
SMALL = ["--texts=1", "--skip=1", "--steps=2", "--recent=8", "--interval=8", "--slots=8", "--device=cpu"]
METHOD = ["method=foresight", "compression.tokens=40", "compression.recent=8", "compression.interval=8"]


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["kvarena", *DENSE, *words])
    evaluate.main()


@pytest.fixture(scope="module")
def recorded(runs_in):
    """A run of dense, and another that said the same."""
    dense = [*DENSE, "method=full"]
    return runs_in("foresight", [*dense, "output_dir=dense"], [*dense, "seed=1", "output_dir=again"])


@pytest.fixture
def dense(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    return recorded


def test_a_scorer_of_a_run_and_a_run_by_the_scorer(dense, monkeypatch, capsys):
    assert main(["reasoner", "dense", "--held-out", "again", *SMALL]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    made = load_scorer("scorers/reasoner.safetensors").made
    assert made["model"] == "reasoner"
    assert made["trained_on"] == made["held_out"] == ["graph_search-easy"]
    assert made["ordered"][0] == made["ordered"][1]
    assert {"model-00001-of-00002.safetensors", "config.json"} <= set(made["weights"])
    words = said.partition("kvarena ")[2].split()
    run(monkeypatch, *METHOD, *words[1:], "output_dir=by_scorer", "num_samples=1")
    assert "foresight on graph_search, ratio 5.8, 40 tokens: 1/1 rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["other", "dense"], "the run dense is of model reasoner, give reasoner, or the folder of its weights"),
        (["reasoner", "nowhere"], "no run.json there"),
        (["reasoner", "dense", "--skip=3"], "dense has 3 problems, none behind the first 3"),
        (["reasoner", "dense", "--recent=200"], "budget of 116 tokens is not above recent + sinks"),
        (["reasoner", "dense", "--held-out", "dense"], "dense and dense are the same run: give each once"),
        (["reasoner", "dense", "--output=again"], "--output=again is a folder: name the file to write"),
        (["reasoner", "dense", "--interval=100", "--recent=8"], "no text is long enough for a round"),
    ],
    ids=["model", "run", "skip", "recent", "twice", "output", "short"],
)
def test_what_is_wrong_is_one_line(dense, capsys, words, said):
    assert main([*words, "--device=cpu", "--texts=1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kvarena-foresight: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method.scorer=reasoner"], "saw 16 recent slots and a round every 16 steps, not 8 and 8"),
        (["method.scorer=x.safetensors"], "x.safetensors has no scorer here: kvarena-foresight x RUN"),
        (["model=qwen3_8b"], "model qwen3_8b has no scorer here: kvarena-foresight qwen3_8b RUN"),
    ],
    ids=["window", "file", "model"],
)
def test_a_scorer_that_does_not_fit_is_refused(monkeypatch, tmp_path, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *METHOD, *words)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_other_weights_are_refused(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(str(files("kvarena.models") / "reasoner"), "changed")
    part = tmp_path / "changed/model-00002-of-00002.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(part).items()}, part, metadata={"format": "pt"})
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "method=foresight", "compression.ratio=2", "model.path=changed", "dry_run=true")
    error = capsys.readouterr().err
    assert error.startswith(f"kvarena: method.scorer=reasoner was trained on other weights ({part.name}) than")
    assert error.count("\n") == 1
