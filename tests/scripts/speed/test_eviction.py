"""The benchmark of evictions, small."""

from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/speed"))
    import eviction

    return eviction


def test_a_row_a_method(script, tmp_path, capsys):
    """Three rounds a turn, the first left out."""
    sizes = ["--tokens", "40", "--interval", "4", "--rounds", "3", "--turns", "2", "--batch-size", "2"]
    script.main(["--methods", "full,streaming,quest", "--output", str(tmp_path / "new/times.csv"), *sizes])
    table = pd.read_csv(tmp_path / "new/times.csv", index_col="method")
    assert set(table.index) == {"full", "streaming", "quest"}
    assert table.num_rounds.to_dict() == {"full": 0, "streaming": 4, "quest": 0}
    assert (table.step_ms > 0).all()
    streaming = table.loc["streaming"]
    assert streaming.round_ms_q25 <= streaming.round_ms <= streaming.round_ms_q75
    assert streaming.round_per_step == pytest.approx(streaming.round_ms / streaming.step_ms, rel=1e-2)
    share = streaming.round_ms / (streaming.round_ms + 4 * streaming.step_ms)
    assert streaming.share_of_decoding == pytest.approx(share, rel=1e-2)
    assert table.loc["full", ["round_ms", "share_of_decoding"]].isna().all()
    assert (table.tokens == 40).all()
    assert "streaming" in capsys.readouterr().out
