"""The tables of pretrained weights are those that their archive makes."""

import tarfile
from pathlib import Path

import pandas as pd
from kvarena.analysis.load import load
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
