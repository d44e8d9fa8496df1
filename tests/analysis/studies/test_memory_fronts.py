"""Learned erasers and guards beside what they have to beat, as tables and pictures."""

import json

import pandas as pd
import pytest
from kvarena.analysis.studies.memory_fronts import main

ROW = {"span": "clause", "after": 16, "age": 20, "length": 5, "since": 0, "tokens": 16, "kl_closing": 0.0}
FRONT = {"kl": 0.1, "ridge": 0.5, "ridge_best": 0.9, "layer_best": 0.9, "whole": 1.0, "place": 0.6}


def write(folder, task, erased):
    folder.mkdir()
    known = [
        {**ROW, "sample": "a", "eraser": name, "recomputed": read, "kl_erased": left, "kl_dense": 8.0}
        for name, read, left in (("drop", 0, 2.0), ("steering", 5, erased))
    ]
    pd.DataFrame(known).to_csv(folder / "forget.csv", index=False)
    labels = {"task": task, "difficulty": "easy", "model": "reasoner", "ratio": 1.0}
    origin = {"labels": labels, "erasers": {"steering": {"config": {"tasks": ["sums"]}}}}
    (folder / "forget.json").write_text(json.dumps(origin))


def test_tasks_that_an_eraser_was_trained_on_stand_apart_from_others(tmp_path):
    write(tmp_path / "own", "sums", 1.0)
    write(tmp_path / "other", "walks", 4.0)
    rows = [FRONT | {"guard": "none", "kl": 0.0}, *(FRONT | {"guard": name} for name in ("noise", "learned"))]
    pd.DataFrame(rows).to_csv(tmp_path / "front.csv", index=False)
    main([str(tmp_path), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out/erasers.csv").set_index(["tasks", "eraser"])
    assert table["influence"].to_dict() == {
        ("trained on", "drop"): 0.25,
        ("trained on", "steering"): 0.125,
        ("unlike", "drop"): 0.25,
        ("unlike", "steering"): 0.5,
    }
    assert table.loc[("unlike", "steering"), "recomputed"] == 5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "erasers.csv",
        "erasers.png",
        "guards.csv",
        "guards.png",
    }


def test_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no forget\.csv of erasers=learned and no front\.csv"):
        main([str(tmp_path), str(tmp_path / "out")])
