"""What fewer bits a slot are worth, of runs as the evaluation writes them."""

import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.studies.fewer_bits import fewer_bits_figure, main
from kvarena.analysis.tables import results


@pytest.fixture
def cell(write, record, config):
    """cell(share, tokens, right): a run of four problems at a quarter of dense's bytes, `right` of them right."""

    def build(share, tokens, right, *, asked=0.25, done=4, kl=None, **labels):
        records = [record(sample=f"p{i}", score=float(i < right), kl=kl and [kl], num_tokens=1) for i in range(done)]
        given = config(tokens) | ({"texts": "texts.jsonl"} if kl else {})
        given["compression"] |= {"ratio": None, "bytes": asked}
        name = f"runs/{labels.get('method', 'snapkv')}-{labels.get('cache', 'plain')}-{tokens}"
        write(name, records, samples=4, config=given, tokens=tokens, **labels).note(bytes_share=share)

    return build


def test_one_method_in_two_caches_and_dense_in_no_more_bytes(cell, tmp_path, dense):
    cell(0.25, 100, 1)
    cell(0.249, 190, 3, cache="fp8")
    cell(0.125, 90, 0, cache="fp8", asked=0.125)  # in no other cache, and dense takes more
    cell(0.249, 190, 4, cache="fp8", method="quest", done=3)  # not finished
    for cache, share in (("turbo3", 0.22), ("int4", 0.24), ("fp8", 0.52)):
        cell(share, None, 4, cache=cache, asked=None, **{k: v for k, v in dense.items() if k != "tokens"})
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv")
    assert table[["a", "b", "tokens_a", "accuracy_a", "gain"]].values.tolist() == [
        ["snapkv", "full + int4", 100, 0.25, -0.75],
        ["snapkv + fp8", "full + int4", 190, 0.75, -0.25],
        ["snapkv + fp8", "snapkv", 190, 0.75, 0.5],
    ]
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_two_settings_of_a_task_have_a_panel_each(cell, tmp_path):
    cell(0.25, 100, 1)
    cell(0.25, 190, 3, method="quest", difficulty="easy")
    titles = [axis.get_title() for axis in fewer_bits_figure(results(load(tmp_path))).axes]
    assert titles == [f"graph_search ({level}), reasoner\n0.25 of dense's bytes" for level in ("easy", "hard")]


def test_of_forced_texts_the_drift_of_one_over_that_of_the_other(cell, tmp_path, dense):
    cell(0.25, 100, 0, kl=0.5)
    cell(0.249, 190, 0, kl=0.1, cache="fp8")
    cell(0.24, None, 0, kl=0.01, asked=None, cache="int4", **{k: v for k, v in dense.items() if k != "tokens"})
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv")
    assert table[["a", "b", "tokens_a", "common", "times"]].values.tolist() == [
        ["snapkv", "full + int4", 100, 4, 50.0],
        ["snapkv + fp8", "full + int4", 190, 4, 10.0],
        ["snapkv + fp8", "snapkv", 190, 4, 0.2],
    ]


def test_runs_without_equal_bytes_are_refused(cell, tmp_path):
    cell(0.25, 100, 1)
    with pytest.raises(ValueError, match="no two finished runs"):
        main([str(tmp_path / "runs"), str(tmp_path / "out")])
