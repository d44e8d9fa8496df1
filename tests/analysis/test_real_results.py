"""The tables of pretrained weights are those that their archive makes."""

import tarfile
from pathlib import Path

import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.stats import loop_rate, pass_at_1
from kvarena.analysis.tables import results

REAL = Path(__file__).parents[2] / "analysis/results/real"
COLUMNS = ["accuracy", "accuracy_low", "gain", "gain_low", "loop_rate", "loop_gain_high", "mean_length", "bytes_share"]


def test_gsm8k_at_ratio_4(tmp_path):
    with tarfile.open(REAL / "gsm8k_ratio4.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    ours = results(load(tmp_path)).set_index("method")
    kept = pd.read_csv(REAL / "gsm8k.csv").query("ratio in (1, 4)").set_index("method")
    assert list(ours.index) == list(kept.index)
    assert len(ours) == 17
    pd.testing.assert_frame_equal(ours[COLUMNS], kept[COLUMNS])
    assert set(ours["complete"]) == {True}
    assert kept["accuracy"].loc[["full", "vase_dkv", "evict_large"]].round(3).tolist() == [0.598, 0.457, 0.027]


@pytest.mark.slow
def test_every_archived_run_is_a_row(tmp_path):
    for file in REAL.glob("*.tar.xz"):
        with tarfile.open(file) as archive:
            archive.extractall(tmp_path, filter="data")
    tables = [
        table
        for table in map(pd.read_csv, [*REAL.glob("*.csv"), REAL.parent / "bytes/coder_gsm8k.csv"])
        if {"run", "loop_rate"} <= set(table)
    ]
    kept = pd.concat(tables).assign(folder=lambda rows: rows["run"].str.rpartition("/")[2])
    kept = kept.drop_duplicates(["folder", "accuracy", "loop_rate"]).set_index("folder")
    runs = load(tmp_path)
    assert len(runs) > 100
    for run in runs:
        row = kept.loc[run.folder.path.name]
        found = pass_at_1(run.outcomes).value, loop_rate(run.outcomes).value
        assert found == pytest.approx((row["accuracy"], row["loop_rate"])), run.name
