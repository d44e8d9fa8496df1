"""What each way to store keys and values changes, on traces of the reasoner's own decoding."""

from pathlib import Path

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/traces"))
        import compare_formats
    return compare_formats


def test_fewer_bytes_are_farther_off(script, watched, capsys):
    script.main([str(watched)])
    assert "watched on graph_search, 16 states" in capsys.readouterr().out
    table = pd.read_csv(watched / "compare/formats.csv", index_col="cache")
    assert table.bytes.to_dict() == {
        "plain": 256,
        "int8": 136,
        "fp8": 132,
        "low_rank": 128,
        "int8_int4": 108,
        "int4": 80,
        "turbo4": 70,
        "turbo3": 54,
        "kivi2": 48,
        "codebook": 32,
    }
    assert (table.loc["plain"].drop("bytes") == 0).all()
    assert (table.drop("plain") > 0).all(axis=None)
    assert 0.015 < table["keys"]["fp8"] < 0.035  # three bits of mantissa
    for name in ("keys", "values", "logits", "attention", "output"):
        order = table[name][["plain", "int8", "fp8", "int4", "turbo3"]]
        assert order.is_monotonic_increasing, name


def test_others_are_asked_for_by_their_words(script, watched, capsys):
    words = "cache=low_rank cache.keys.rank=64 cache.values.rank=8"
    script.main([str(watched), "--also", words])
    capsys.readouterr()
    table = pd.read_csv(watched / "compare/formats.csv", index_col="cache")
    assert table["bytes"][words] == 2 * 64 + 2 * 8
    assert table["attention"][words] < 1e-4  # keys are whole
    assert table["values"][words] > table["values"]["low_rank"] > 0.05


def test_caches_that_were_packed_are_refused(script, traced):
    with pytest.raises(ValueError, match="was traced with cache=int8g64, whose codes were decoded"):
        script.main([str(traced("watched", "method@method.of=snapkv", "cache=int8"))])
