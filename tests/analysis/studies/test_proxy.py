import numpy as np
import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.studies.proxy import correlation, over_cells, over_methods, proxy, shared, side, spearman


def test_spearman():
    assert spearman(np.array([1, 2, 3, 4]), np.array([1, 3, 2, 4])) == pytest.approx(0.8)
    assert np.isnan(spearman(np.array([1, 1]), np.array([1, 2])))


def table(values):
    rows = [
        {"method": m, "ratio": r, "sample": s, "value": v} for (m, r), vs in values.items() for s, v in enumerate(vs)
    ]
    return side(pd.DataFrame(rows))


def test_over_cells_the_ratio_counts_and_over_methods_it_does_not():
    x = {("a", 2): [9], ("b", 2): [8], ("a", 4): [1], ("b", 4): [0]}
    y = {("a", 2): [0.8], ("b", 2): [0.9], ("a", 4): [0.1], ("b", 4): [0.2]}
    ours, theirs = shared(table(x), table(y | {("c", 2): [1.0]}))
    assert correlation(ours, theirs, over_cells)[0] == pytest.approx(0.6)
    assert correlation(ours, theirs, over_methods)[0] == pytest.approx(-1)


def test_a_method_that_drifts_less_is_right_more_often(write, record, tmp_path):
    texts = []
    for rank, method in enumerate(["best", "middle", "worst"]):
        right = [record(sample=f"s{i}", score=float(i >= rank)) for i in range(4)]
        write(method, right, samples=4, method=method, ratio=2.0)
        for i in range(4):
            texts.append({"task": "graph_search", "method": method, "ratio": 2.0, "sample": f"s{i}", "kl": 10.0**rank})
    texts = pd.DataFrame(texts).assign(
        kl_worst=0.1, kl_end=0.1, nll=lambda t: t["kl"], mass=lambda t: -t["kl"], same=0.5
    )
    found = proxy(texts, load(tmp_path)).set_index("summary")
    assert found.loc[["kl", "nll", "mass"], "rho_cells"].tolist() == pytest.approx([1, 1, 1])
    assert found["cells"].tolist() == [3] * 6
    assert found.loc["kl", "rho_cells_low"] >= 0.5
