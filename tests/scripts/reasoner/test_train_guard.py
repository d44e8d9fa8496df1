"""Guards of shared prompts, from their training to their lines."""

import csv
import sys
from pathlib import Path

import pytest

TINY = ("tasks=[assignments]", "problems=8", "asked=10", "texts=8", "followed=1", "tokens=8", "steps=2")
FEW = ("weights=[0.1]", "noise=[1]", "perceptron.steps=5", "output=out")


def test_a_line_a_guard(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/reasoner"))
    import train_guard

    monkeypatch.setattr(sys, "argv", ["train_guard.py", *TINY, *FEW])
    train_guard.main()
    none, noise, learned = csv.DictReader((tmp_path / "out/front.csv").open())
    assert [row["guard"] for row in (none, noise, learned)] == ["none", "noise", "learned"]
    assert float(none["kl"]) == pytest.approx(0, abs=1e-6)
    assert float(none["ridge"]) > 0.7
    assert float(noise["kl"]) > float(none["kl"])
    assert float(noise["ridge"]) < float(none["ridge"])
    assert float(learned["kl"]) > 0
    rows = list(csv.DictReader((tmp_path / "out/leaks.csv").open()))
    assert len(rows) == 3 * (32 + 8 + 1)
    assert "readability" in capsys.readouterr().out
