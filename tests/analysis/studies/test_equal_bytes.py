"""Slots, bits, or both, of runs as the evaluation writes them."""

import pandas as pd
import pytest
from kvarena.analysis.studies.equal_bytes import main


def test_a_line_a_method_and_cache(write, tmp_path, record, dense):
    write("runs/full", [record()], samples=1, **dense).note(bytes_share=1.0)
    write("runs/fp8", [record()], samples=1, **dense, cache="fp8").note(bytes_share=0.5)
    for share, score in ((0.5, 1.0), (0.25, 0.0)):
        write(f"runs/{share}", [record(score=score)], samples=1, cache="fp8").note(bytes_share=share)
    write("runs/old", [record()], samples=1, ratio=2.0)  # does not say
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv")
    assert table[["method", "cache", "bytes_share", "accuracy"]].values.tolist() == [
        ["full", "fp8", 0.5, 1.0],
        ["full", "plain", 1.0, 1.0],
        ["snapkv", "fp8", 0.25, 0.0],
        ["snapkv", "fp8", 0.5, 1.0],
    ]
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_runs_of_two_tasks_are_refused(write, tmp_path, record, dense):
    write("runs/a", [record()], samples=1, **dense)
    write("runs/b", [record()], samples=1, **dense, task="sorting")
    with pytest.raises(ValueError, match="of several tasks"):
        main([str(tmp_path / "runs"), str(tmp_path / "out")])
