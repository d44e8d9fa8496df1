import sys
from dataclasses import replace

import pytest
from kvarena.runners import evaluate, grade
from kvarena.runners.record import RunFolder


@pytest.fixture
def folder(monkeypatch, tmp_path):
    arguments = ["difficulty=easy", "method=full", "num_samples=2", "device=cpu", f"output_dir={tmp_path}/run"]
    monkeypatch.setattr(sys, "argv", ["kvarena", *arguments])
    evaluate.main()
    return RunFolder(path=tmp_path / "run")


def test_verdicts_are_made_anew(folder, capsys):
    right = folder.records()
    assert [record.score for record in right] == [1.0, 1.0]
    folder.rewrite([replace(right[0], score=0.0, answer="", note="old grader"), right[1]])
    assert grade.main([str(folder.path.parent)]) == 0
    assert "1 scores changed" in capsys.readouterr().out
    assert folder.records() == right


def test_nothing_to_grade_is_said_in_one_line(tmp_path, capsys):
    assert grade.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "kvarena-grade: no run.json below that folder\n"
