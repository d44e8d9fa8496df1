"""Methods compared on traces of the reasoner's own decoding."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/traces"))
        import compare_methods
    return compare_methods


def test_methods_on_real_decoding(script, watched, capsys):
    script.main([str(watched), "--methods", "full,snapkv,rkv_vase,random,h2o,streaming,adakv,quest"])
    assert "watched on graph_search, 16 states" in capsys.readouterr().out
    assert (watched / "compare/compare.png").stat().st_size > 20_000
    overlap = pd.read_csv(watched / "compare/overlap.csv", index_col="method")
    mass = pd.read_csv(watched / "compare/mass.csv", index_col="method")
    evicting = {"snapkv", "rkv_vase", "random", "h2o", "streaming", "adakv"}
    assert set(overlap.index) == set(overlap.columns) == set(mass.index) == evicting | {"best_seen", "best_next"}
    assert (overlap.to_numpy() == overlap.to_numpy().T).all()
    assert all(overlap.loc[name, name] == 1 for name in overlap)
    assert overlap.loc["snapkv", "rkv_vase"] > overlap.loc["snapkv", "random"] > 0.5
    assert mass.loc["best_seen", "seen_of_best"] == mass.loc["best_next", "next_of_best"] == 1
    # adakv moves slots between heads; of the others none keeps more than the best set
    even = mass.drop(index="adakv")
    assert even.to_numpy().max() == 1
    assert mass.loc["snapkv", "seen"] > mass.loc["random", "seen"] > 0
    assert list(mass["next_of_best"]) == sorted(mass["next_of_best"], reverse=True)


def test_overlap_golden(script):
    """Heads of three slots: {0, 1} and {0}; {1, 2} and nothing."""
    kept = {
        "a": torch.tensor([[True, True, False], [True, False, False]]),
        "b": torch.tensor([[False, True, True], [False, False, False]]),
    }
    table = script.overlap_table(kept)
    assert table.loc["a", "b"] == table.loc["b", "a"] == pytest.approx((1 / 3 + 0) / 2)
    assert table.loc["b", "b"] == 1


def test_best_takes_the_largest_of_each_head(script):
    share = torch.tensor([[0.5, 0.1, 0.4], [0.2, 0.3, 0.5]])
    candidates = torch.tensor([[True, True, True], [True, True, False]])
    assert script.best(share, candidates, 2).tolist() == [[True, False, True], [True, True, False]]


def test_an_unknown_method_is_refused(script, watched):
    with pytest.raises(ValueError, match=r"no method snap, h20: use some of adakv, "):
        script.main([str(watched), "--methods", "snap,h2o,h20"])


def test_what_a_trace_lacks_is_said(script, traced, capsys):
    snapkv = traced("snapkv")
    script.main([str(snapkv), "--methods", "snapkv,h2o"])
    assert "left out: h2o, the trace lacks its mass" in capsys.readouterr().out
    with pytest.raises(ValueError, match="holds no queries: trace method=watched"):
        script.main([str(traced("random"))])


def test_a_run_without_a_trace_is_refused(script, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="holds no trace"):
        script.main([str(tmp_path)])
