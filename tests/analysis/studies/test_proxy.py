import numpy as np
import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.studies import proxy as study
from kvarena.analysis.studies.proxy import correlations, proxy, spearman
from kvarena.analysis.studies.sides import accuracy, drift, shared, side


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(study, "RESAMPLES", 100)


def test_spearman():
    assert spearman(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(0.8)
    assert np.isnan(spearman(np.array([1, 1]), np.array([1, 2])))


def table(values):
    rows = [
        {"method": m, "ratio": r, "sample": s, "value": v} for (m, r), vs in values.items() for s, v in enumerate(vs)
    ]
    return side(pd.DataFrame(rows))


def test_over_cells_the_ratio_counts_and_over_methods_it_does_not():
    right = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    x = {(m, r): [10.0 * (r == 2) + i] for r in (2, 4) for i, m in enumerate(right)} | {("a", 8): [0], ("b", 8): [1]}
    y = {(m, r): [v - 0.5 * (r == 4)] for r in (2, 4) for m, v in right.items()} | {("a", 8): [1], ("b", 8): [0]}
    ours, theirs = shared(table(x), table(y | {("e", 2): [1.0]}))
    found = correlations(ours, theirs)
    assert list(found) == ["cells", "methods", 2, 4]  # of two methods an order says nothing
    assert found.loc[0, ["methods", 2, 4]].tolist() == pytest.approx([-1, -1, -1])
    assert 0 < found.loc[0, "cells"] < 1


def texts_and_runs(write, record, prompts=lambda i: None):
    texts = []
    for rank, method in enumerate(["best", "good", "middle", "worst"]):
        right = [record(sample=f"s{i}", score=float(i >= rank), prompt_sha=prompts(i)) for i in range(4)]
        write(method, right, samples=4, method=method, ratio=2.0)
        for i in range(4):
            texts.append({"task": "graph_search", "method": method, "ratio": 2.0, "sample": f"s{i}", "kl": 10.0**rank})
    return pd.DataFrame(texts).assign(
        kl_worst=0.1,
        kl_end=0.1,
        kl_answer=lambda t: t["kl"].where(t["sample"] != "s0"),  # one text has no answer
        nll=lambda t: -t["kl"],
        mass=lambda t: -t["kl"],
        same=0.5,
    )


def test_a_method_that_drifts_less_is_right_more_often(write, record, tmp_path):
    texts = texts_and_runs(write, record)
    table = proxy(texts, load(tmp_path))
    found = table[table["over"] == "cells"].set_index("summary")
    assert found.loc[["kl", "kl_answer", "nll", "mass"], "rho"].tolist() == pytest.approx([1, 1, -1, 1])
    assert found.loc[["kl_answer", "nll"], "over_kl"].tolist() == pytest.approx([0, -2])
    assert found["cells"].tolist() == [4] * 7
    assert found["texts"].tolist() == [4] * 7
    assert found.loc["kl", "rho_low"] >= 0.5
    # of the same resamples, so what orders alike is level in each of them
    assert found.loc["mass", ["over_kl_low", "over_kl_high"]].tolist() == [0, 0]


def test_problems_that_were_decoded_and_not_forced(write, record, tmp_path):
    """Records say their prompts, too."""
    texts = texts_and_runs(write, record, prompts=lambda i: f"{i:012x}")
    few = texts[texts["sample"].isin(["s2", "s3"])]
    assert accuracy(load(tmp_path)).values.shape == (4, 4)
    assert accuracy(load(tmp_path), {"s2", "s3"}).values.tolist() == [[1, 1], [1, 1], [1, 1], [0, 1]]
    assert set(proxy(few, load(tmp_path))["problems"]) == {4}
    assert set(proxy(few, load(tmp_path), same=True)["problems"]) == {2}


def test_every_summary_is_held_against_mean_kl_wherever_it_stands(write, record, tmp_path, monkeypatch):
    texts = texts_and_runs(write, record)
    monkeypatch.setattr(study.fidelity, "SUMMARIES", ("nll", "kl", "mass"))
    found = proxy(texts, load(tmp_path))
    found = found[found["over"] == "cells"].set_index("summary")["over_kl"]
    assert found.to_dict() == pytest.approx({"nll": -2, "kl": 0, "mass": 0})
    with pytest.raises(ValueError, match="the texts of graph_search lack kl"):
        proxy(texts.drop(columns="kl"), load(tmp_path))


def test_the_drift_of_a_problem_is_the_log_of_the_mean_of_its_draws():
    texts = pd.DataFrame({"method": "a", "ratio": 2.0, "sample": "s", "draw": [0, 1], "kl": [0.01, 0.03]})
    assert drift(texts, "kl").values.tolist() == [[pytest.approx(-np.log(0.02))]]


def test_a_cell_is_one_finished_run_of_one_setting(write, record, tmp_path):
    texts = texts_and_runs(write, record)
    table = proxy(texts, load(tmp_path))
    right = [record(sample=f"s{i}", score=1.0) for i in range(4)]
    write("cut short", right[:1], samples=4, method="worst", ratio=2.0)
    write("packed", right, samples=4, method="worst", ratio=2.0, cache="int4")  # another cell
    assert proxy(texts, load(tmp_path)).equals(table)
    write("easy", right, samples=4, method="other", ratio=2.0, difficulty="easy")
    with pytest.raises(ValueError, match=r"RUNS_DIR has graph_search as .*'easy'.*'hard'"):
        proxy(texts, load(tmp_path))
    assert proxy(texts.assign(difficulty="hard"), load(tmp_path)).equals(table)
    write("worst again", right, samples=4, method="worst", ratio=2.0)
    with pytest.raises(ValueError, match="worst and worst again are of one method and ratio on graph_search: give one"):
        proxy(texts.assign(difficulty="hard"), load(tmp_path))


def test_texts_of_two_runs_of_a_cell_and_of_two_models_are_refused(write, record, tmp_path):
    texts = texts_and_runs(write, record)
    with pytest.raises(ValueError, match="the texts of graph_search have s0 of best at 2 twice"):
        proxy(pd.concat([texts, texts[:1]]), load(tmp_path))
    with pytest.raises(ValueError, match="the texts of graph_search are of model a and b: give one of them"):
        proxy(texts.assign(model=["a", *["b"] * 15]), load(tmp_path))
    with pytest.raises(ValueError, match="no method was both forced and decoded at one ratio on graph_search"):
        proxy(texts.assign(ratio=3.0), load(tmp_path))
