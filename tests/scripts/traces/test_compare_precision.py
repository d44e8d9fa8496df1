"""What bfloat16 changes in what methods keep, on traces of the reasoner's own decoding."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/traces"))
        import compare_precision
    return compare_precision


@pytest.fixture
def view_of_scores():
    candidates = torch.tensor([[[True, True, True, False]]])
    positions = torch.arange(4, dtype=torch.int32)[None, None]
    return SimpleNamespace(
        positions=positions, candidates=candidates, evictable=candidates, excess=torch.tensor([1], dtype=torch.int32)
    )


def test_a_cache_in_bfloat16_keeps_what_float32_keeps(script, watched, capsys):
    script.main([str(watched), "--methods", "snapkv,h2o,rkv_vase,vase_attnv,vase_dkv,keydiff,random,adakv"])
    assert "watched on graph_search, 16 states" in capsys.readouterr().out
    table = pd.read_csv(watched / "compare/precision.csv", index_col="method")
    assert list(table.index) == ["snapkv", "h2o", "rkv_vase", "vase_attnv", "vase_dkv", "keydiff", "random"]
    assert (table["cache"] > 0.98).all()
    assert (table["score"] > 0.97).all()
    assert table["cache"].min() < 1
    # neither mass nor noise is held in bfloat16
    assert table.loc[["h2o", "random"], "cache"].tolist() == [1, 1]
    # eight bits tie what 24 tell apart
    assert (table["ties_score"] > table["ties"]).all()
    assert table["ties"].max() < 0.05 < table["ties_score"].max()


@pytest.mark.parametrize(
    ("scores", "kept", "tie"),
    [
        ([3.0, 1.0, 2.0, 9.0], [True, False, True, False], False),
        ([1.001, 1.0, 2.0, 9.0], [True, False, True, False], False),
        # 1.001 is 1 in bfloat16, and of equals the older goes
        (torch.tensor([1.001, 1.0, 2.0, 9.0]).bfloat16().float().tolist(), [False, True, True, False], True),
    ],
    ids=["clear", "close", "rounded"],
)
def test_decide_golden(script, view_of_scores, scores, kept, tie):
    """One of three candidates goes; the newest slot is recent."""
    decision = script.decide(view_of_scores, torch.tensor([[scores]]))
    assert decision.kept.tolist() == [kept]
    assert decision.tie.tolist() == [tie]
