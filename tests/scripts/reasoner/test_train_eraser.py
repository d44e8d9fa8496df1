"""A learned eraser from its training to its row beside the others."""

import csv
import json
import sys
from pathlib import Path

import pytest
from kvarena.runners import evaluate
from kvarena.runners.forget import command

TINY = ("problems=2", "held_out=1", "pool=2", "lessons=1", "renewed=1", "tokens=20", "steps={neighbours: 1, task: 1}")
MODEL = ("difficulty=easy", "device=cpu", "engine.batch_size=2", "model.dtype=float32")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with dense's own completion, and an eraser of two steps."""
    folder = tmp_path_factory.mktemp("eraser")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/reasoner"))
        import train_eraser

        patch.setattr(sys, "argv", ["train_eraser.py", *TINY, "output=own.safetensors"])
        train_eraser.main()
        words = ("method=full", "task=graph_search", "num_samples=1", "max_tokens=60", "output_dir=dense")
        patch.setattr(sys, "argv", ["kvarena", *MODEL, *words])
        evaluate.main()
    return folder


@pytest.fixture
def forget(trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)

    def run(*words):
        known = ("reference=dense", "task=graph_search", "erasers=learned", *MODEL)
        monkeypatch.setattr(sys, "argv", ["kvarena-forget", *known, *words])
        try:
            command.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return run


def test_its_log_says_how_far_each_stage_came(trained):
    rows = list(csv.DictReader((trained / "own.csv").open()))
    assert [row["stage"] for row in rows] == ["", "task"]
    assert all(float(row["influence"]) > 0 for row in rows)


def test_it_stands_beside_the_others(forget, trained):
    code, said = forget("erasers.steering.path=own.safetensors", "output_dir=out")
    assert code == 0, said.err
    rows = [row for row in csv.DictReader((trained / "out/forget.csv").open()) if row["eraser"] == "steering"]
    assert rows
    assert all(row["recomputed"] == row["length"] for row in rows)
    origin = json.loads((trained / "out/forget.json").read_text())
    assert list(origin["erasers"]) == ["steering"]
    assert origin["erasers"]["steering"]["parameters"] == 90112
    assert origin["erasers"]["steering"]["config"]["tasks"] == ["assignments", "addition", "deduction"]


def test_of_another_model_it_is_refused_in_one_line(forget, trained):
    from kvarena.runners.forget.steer import Steer

    own = Steer.read(trained / "own.safetensors")
    other = own.made["weights"] | {"config.json": "another"}
    own._replace(made=own.made | {"weights": other}).write(trained / "other.safetensors")
    for path, expected in (("other.safetensors", "trained for other weights (config.json)"), ("none", "no eraser")):
        code, said = forget(f"erasers.steering.path={path}", "output_dir=wrong")
        assert code == 2
        assert said.err.startswith("kvarena: ")
        assert expected in said.err
        assert said.err.count("\n") == 1
