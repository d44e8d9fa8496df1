"""Accuracy by the place in a chain, of runs as the evaluation writes them."""

import pandas as pd
import pytest
from kvarena.analysis.studies.places import main

TARGET = "1 | 2 | 3 | 4 | 5"


def test_a_line_a_method_and_four_places(write, tmp_path, record, dense):
    all_right = record(answer=TARGET, target=TARGET)
    write("runs/full", [all_right, record(sample="s1", answer="1 | 2 | 0 |  | 5", target=TARGET)], samples=2, **dense)
    write("runs/snapkv", [record(answer="1 |  |  |  | ", target=TARGET)], samples=1)
    write("runs/packed", [record(answer="1 | 2 |  |  | ", target=TARGET)], samples=1, cache="fp8")
    write(
        "runs/cut_short", [all_right], samples=2, method="h2o"
    )  # its first record alone would be of its shortest text
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv")
    assert table[["method", "first", "last", "prompts", "accuracy", "answered"]].values.tolist() == [
        ["full", 1, 4, 2, 0.75, 0.875],
        ["full", 5, 5, 2, 1.0, 1.0],
        ["snapkv + fp8", 1, 4, 1, 0.5, 0.5],
        ["snapkv + fp8", 5, 5, 1, 0.0, 0.0],
        ["snapkv", 1, 4, 1, 0.25, 0.25],
        ["snapkv", 5, 5, 1, 0.0, 0.0],
    ]
    assert (table["accuracy_low"] <= table["accuracy"]).all()
    assert (table["accuracy_high"] >= table["accuracy"]).all()
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_runs_of_two_ratios_are_refused(write, tmp_path, record):
    write("runs/a", [record(answer=TARGET, target=TARGET)], samples=1)
    write("runs/b", [record(answer=TARGET, target=TARGET)], samples=1, ratio=2.0)
    with pytest.raises(ValueError, match="of several tasks, models or ratios"):
        main([str(tmp_path / "runs"), str(tmp_path / "out")])
