"""Methods over several tasks, of runs as the evaluation writes them."""

import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.stats import Estimate
from kvarena.analysis.studies.over_tasks import main, mean_of, over_tasks


@pytest.fixture
def runs(write, tmp_path, record, dense):
    def tasks(method, right, **labels):
        for task, hits in right.items():
            records = [record(sample=f"s{i}", score=float(i < hits)) for i in range(10)]
            write(f"runs/{task}-{method}", records, samples=10, **(dict(task=task, method=method) | labels))

    for task in ("sorting", "addition"):
        whole = [record(sample=f"s{i}", resident_bytes=4000) for i in range(10)]
        write(f"runs/{task}-full", whole, samples=10, **(dict(task=task) | dense))
    tasks("random", {"sorting": 0, "addition": 0})
    tasks("h2o", {"sorting": 10, "addition": 4})
    tasks("tova", {"sorting": 10})
    write("runs/cut_short", [record()], samples=10, task="addition", method="tova")
    return tmp_path / "runs"


def test_a_mean_over_tasks_and_the_gap_to_the_control(runs):
    table = over_tasks(load(runs), "random").set_index("method")
    assert list(table.index) == ["h2o", "random", "tova"]
    assert table["tasks"].tolist() == [2, 2, 1]
    assert table.loc["h2o", ["accuracy", "gain", "resident_share"]].tolist() == pytest.approx([0.7, 0.7, 0.25])
    assert table.loc["h2o", ["above", "below"]].tolist() == [2, 0]
    assert table.loc["random", "accuracy"] == 0
    assert pd.isna(table.loc["random", "gain"])
    assert pd.isna(table.loc["tova", "accuracy"])


def test_halves_of_an_interval_are_roots_of_summed_squares():
    mean = mean_of([Estimate(0.5, 0.2, 0.9), Estimate(0.7, 0.3, 1.0)])
    assert mean == pytest.approx((0.6, 0.35, 0.85))


def test_a_control_that_lacks_a_task_is_named(runs):
    with pytest.raises(ValueError, match="tova was not finished on addition at ratio 4"):
        over_tasks(load(runs), "tova")


def test_the_command_writes_a_table_and_a_picture(runs, tmp_path):
    main([str(runs), "random", str(tmp_path / "order")])
    assert len(pd.read_csv(tmp_path / "order.csv")) == 3
    assert (tmp_path / "order.png").stat().st_size > 1000


def test_a_cell_is_one_run_a_task_all_of_one_model(runs, write, record):
    more = [record(sample=f"s{i}") for i in range(10)]
    write("runs/easy", more, samples=10, task="sorting", method="h2o", difficulty="easy")
    with pytest.raises(ValueError, match="easy and sorting-h2o are of one method and ratio on sorting: give one"):
        over_tasks(load(runs), "random")


def test_a_mean_over_the_tasks_of_two_models_is_refused(runs, write, record):
    write("runs/other", [record()], samples=1, task="sorting", method="tova", model="other", ratio=2.0)
    with pytest.raises(ValueError, match="runs of other and reasoner: give those of one model"):
        over_tasks(load(runs), "random")


def test_a_folder_of_dense_alone_is_refused(write, record, tmp_path, dense):
    write("full", [record()], samples=1, **dense)
    with pytest.raises(ValueError, match="no method was finished here: nothing to compare"):
        over_tasks(load(tmp_path), "random")
