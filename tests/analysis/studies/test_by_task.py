import math

import pandas as pd
import pytest
from kvarena.analysis.studies.by_task import main

CONFIG = {"texts": "texts.jsonl"}


def test_values_and_ratios_by_task_and_by_named_parts(write, record, tmp_path):
    """Of two tasks, three and one texts; a mean of logs of .1, .4 and .2 is that of .2."""
    drift = {"near": (0.1, 0.4, 0.2, 0.8), "far": (0.2, 0.8, 0.4, 0.8)}
    ids = ("graph_search-a-1", "graph_search-a-2", "graph_search-a-3", "sorting-1")
    for method, values in drift.items():
        said = [record(sample=name, score=None, num_tokens=1, kl=[kl]) for name, kl in zip(ids, values, strict=True)]
        write(f"runs/{method}", said, samples=4, config=CONFIG, method=method, tokens=56)
    main([str(tmp_path / "runs"), "far", str(tmp_path / "x.csv"), "both=sorting,graph_search"])
    found = pd.read_csv(tmp_path / "x.csv").set_index(["tasks", "method"])
    assert len(found) == 2 * 4
    graphs = found.loc["graph_search", "near"]
    assert (graphs.texts, graphs.kl, graphs.times) == (3, pytest.approx(0.2), 0.5)
    assert (graphs.times_low, graphs.times_high) == (0.5, 0.5)
    assert math.isnan(found.loc["sorting", "near"].kl_low)
    whole = found.loc["all", "near"]
    assert whole.times == pytest.approx(2 ** (-3 / 4), rel=1e-3)
    assert whole.drop(["tokens"]).equals(found.loc["both", "near"].drop(["tokens"]))
    assert found.loc["all", "far"].times == 1


def test_a_base_that_was_not_run_is_refused(write, record, tmp_path):
    write(
        "runs/near", [record(sample="a-1", score=None, num_tokens=1, kl=[0.1])], samples=1, config=CONFIG, method="near"
    )
    with pytest.raises(ValueError, match="far was not finished at 128 tokens: nothing to compare near with"):
        main([str(tmp_path / "runs"), "far", str(tmp_path / "x.csv")])


def test_runs_that_cannot_stand_for_a_cell_are_refused(write, record, tmp_path):
    """Two of one method and budget, and one of other texts; what is not finished is no run of it."""

    def forced(name, tokens, method="far"):
        said = [record(sample="a-1", score=None, token_ids=tokens, num_tokens=1, kl=[0.1])]
        return write(f"runs/{name}", said, samples=1, config=CONFIG, method=method)

    forced("far", [1])
    forced("near", [2], method="near")
    with pytest.raises(ValueError, match="near and far differ in texts: give runs of the same texts"):
        main([str(tmp_path / "runs"), "far", str(tmp_path / "x.csv")])
    forced("far_again", [1])
    with pytest.raises(ValueError, match="far and far_again are both of far at 128 tokens: give one"):
        main([str(tmp_path / "runs"), "far", str(tmp_path / "x.csv")])
    (tmp_path / "runs/far/records.jsonl").write_text("")
    (tmp_path / "runs/far_again/records.jsonl").write_text("")
    with pytest.raises(ValueError, match="far was not finished at 128 tokens"):
        main([str(tmp_path / "runs"), "far", str(tmp_path / "x.csv")])
