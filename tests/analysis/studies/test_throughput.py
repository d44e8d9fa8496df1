"""A whole decode from a few steps, on times that follow a known law."""

import numpy as np
import pandas as pd
import pytest
from kvarena.analysis.studies.throughput import main, throughput, throughput_bars, throughput_markdown

POSITIONS = (256, 6400, 10496, 14592)
LINE = {"model": "qwen3_14b", "batch": 16, "steps": 1024, "device": "GPU", "versions": "torch 2", "commit": "abc"}


def lines(method, tokens, ms, *, evicts=False, round_ms=0.0, positions=POSITIONS):
    """ms(middle) without rounds, which take `round_ms` of a step where the budget is full."""
    found = []
    for position in positions:
        middle = position + 592
        rounds = round_ms if tokens and middle >= tokens else 0.0
        total = ms(middle) + rounds
        line = {"position": position, "middle": middle, "ms": total, "evict_share": rounds / total, "evicts": evicts}
        peak = 2**30 * (40 if evicts else 30 + (position + 1024) / 1000)
        found.append(LINE | line | {"method": method, "tokens": tokens, "peak_bytes": peak, "tokens_per_s": 0.0})
    return found


@pytest.fixture
def benchmark():
    """Dense 10 ms and 1 us a token; an eviction the same up to 4,096, and rounds; a selection that pays for both."""
    dense = lines("full", None, lambda x: 10 + 0.001 * x)
    attnv = lines("vase_attnv", 4096, lambda x: 10 + 0.001 * min(x, 4096), evicts=True, round_ms=0.5)
    quest = lines("quest", 4096, lambda x: 10 + 0.001 * min(x, 4096) + 0.0002 * x)
    return pd.DataFrame(dense + attnv + quest)


def test_the_mean_over_the_positions_of_a_decode(benchmark):
    """Positions 256 to 16,639 and to 33,023: means 8,447.5 and 16,639.5, or 3,645.5 and 3,870.9 with 4,096 at most."""
    table = throughput(benchmark).set_index(["decode", "method"])
    expected = {
        (16384, "full"): 18.4475,
        (16384, "vase_attnv"): 13.6459 + 0.5 * 12544 / 16384,
        (16384, "quest"): 13.6459 + 0.0002 * 8447.5,
        (32768, "full"): 26.6395,
        (32768, "vase_attnv"): 13.8709 + 0.5 * 28928 / 32768,
        (32768, "quest"): 13.8709 + 0.0002 * 16639.5,
    }
    assert table["ms_per_step"].to_dict() == pytest.approx(expected, abs=1e-3)
    assert table.loc[(16384, "full"), "tokens_per_s"] == 867.3
    assert (table["misfit"] < 1e-6).all()


def test_memory_grows_with_the_sequence_where_it_is_not_bounded(benchmark):
    table = throughput(benchmark).set_index(["decode", "method"])["peak_gib"].to_dict()
    assert table[16384, "vase_attnv"] == table[32768, "vase_attnv"] == 40
    assert (table[16384, "full"], table[32768, "full"]) == (46.6, 63.0)


def test_published_numbers_stand_beside_and_nothing_else(benchmark):
    table = throughput(benchmark).set_index(["decode", "method"])
    found = table[["published_tokens_per_s", "published_gib"]].T.to_dict("list")
    assert found[16384, "full"] == [132.9, 68.7]
    assert found[32768, "vase_attnv"] == [328.4, 39.6]
    assert np.isnan(found[32768, "full"] + found[16384, "quest"]).all()


def test_a_decode_that_was_timed_whole_checks_the_law_and_does_not_make_it(benchmark):
    whole = lines("vase_attnv", 4096, lambda x: 99.0, evicts=True, positions=[256])[0]
    whole |= {"steps": 16384, "tokens_per_s": 1111.0}
    table = throughput(pd.concat([benchmark, pd.DataFrame([whole])], ignore_index=True))
    assert table.drop(columns="whole_tokens_per_s").equals(throughput(benchmark).drop(columns="whole_tokens_per_s"))
    checked = table[table["whole_tokens_per_s"].notna()]
    assert checked[["decode", "method", "whole_tokens_per_s"]].values.tolist() == [[16384, "vase_attnv", 1111.0]]


def test_a_packed_cache_has_a_law_of_its_own(benchmark):
    packed = lines("full", None, lambda x: 10 + 0.0005 * x)
    both = pd.concat([benchmark, pd.DataFrame([each | {"cache": "fp8"} for each in packed])], ignore_index=True)
    table = throughput(both).query("decode == 16384").set_index("method")
    assert table.loc["full + fp8", "ms_per_step"] == pytest.approx(10 + 0.0005 * 8447.5, abs=1e-3)
    assert np.isnan(table.loc["full + fp8", "published_tokens_per_s"])
    assert table.loc["full", "ms_per_step"] == pytest.approx(18.4475, abs=1e-3)


@pytest.mark.parametrize("name", ["engine", "attention", "device"])
def test_a_law_is_of_one_engine_and_card(benchmark, name):
    benchmark[name] = "one"
    benchmark.loc[5, name] = "other"
    with pytest.raises(ValueError, match=f"vase_attnv was timed with {name} one and other: give one of them"):
        throughput(benchmark)


def test_a_law_that_does_not_fit_says_by_how_much(benchmark):
    benchmark.loc[1, "ms"] *= 1.1
    assert 0.03 < throughput(benchmark).query("method == 'full'")["misfit"].iloc[0] < 0.1


def test_the_command_writes_table_and_figure(benchmark, tmp_path, capsys):
    benchmark.to_csv(tmp_path / "b.csv", index=False)
    assert main([str(tmp_path / "b.csv"), "--output", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("throughput.csv", "throughput.md", "throughput.png")
    ]
    assert "| full       |      - |   867 |             133 |  6.53 | 46.6 |" in capsys.readouterr().out


def test_bars_are_ours_and_the_published_ones(benchmark):
    heights = [patch.get_height() for patch in throughput_bars(throughput(benchmark)).axes[0].patches]
    assert heights[:4] == pytest.approx([867.3, 132.9, 1140.5, 333.4], abs=0.1)
    assert "GPU" in throughput_markdown(throughput(benchmark))


def test_too_few_positions_are_refused_in_one_line(benchmark, tmp_path, capsys):
    benchmark.query("position > 6000").to_csv(tmp_path / "b.csv", index=False)
    assert main([str(tmp_path / "b.csv")]) == 2
    assert "vase_attnv at 4096 tokens: 3 positions do not make a law, time it at positions=" in capsys.readouterr().err
