import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.studies.pilot import bars_published, main, mean_accuracies, pilot_bars, pilot_markdown
from kvarena.analysis.tables import results


@pytest.fixture
def runs(write, tmp_path, record, dense):
    """runs(task, method, ratio, right): ten problems, so many right, one in a loop."""

    def add(task, method, ratio=2.0, right=5):
        records = [record(sample=f"s{i}", score=float(i < right), loop_onset=None if i else 7) for i in range(10)]
        labels = {"task": task, "model": "reasoner", "method": method, "ratio": ratio}
        write(f"{task}-{method}-{ratio}", records, samples=10, **labels | (dense if method == "full" else {}))

    return add


@pytest.fixture
def study(runs, tmp_path):
    for task, right in (("a", 10), ("b", 8)):
        runs(task, "full", right=right)
        runs(task, "snapkv", right=right - 4)
    runs("a", "h2o", right=9)
    runs("b", "snapkv", ratio=8.0, right=1)
    return results(load(tmp_path))


def test_means_are_of_methods_that_were_run_on_all_tasks_of_a_ratio(study):
    table = mean_accuracies(study)
    assert table[["ratio", "method", "tasks", "accuracy"]].values.tolist() == [
        [2.0, "full", 2, pytest.approx(0.9)],
        [2.0, "snapkv", 2, pytest.approx(0.5)],
        [8.0, "full", 1, pytest.approx(0.8)],
        [8.0, "snapkv", 1, pytest.approx(0.1)],
    ]


def test_the_interval_of_a_mean_is_that_of_its_tasks_in_quadrature(study):
    rows = study[(study["method"] == "snapkv") & (study["ratio"] == 2)]
    down = [row.accuracy - row.accuracy_low for row in rows.itertuples()]
    table = mean_accuracies(study).set_index(["ratio", "method"])
    snapkv = table.loc[(2.0, "snapkv")]
    assert snapkv.accuracy - snapkv.accuracy_low == pytest.approx((down[0] ** 2 + down[1] ** 2) ** 0.5 / 2)
    assert table.loc[(2.0, "full"), "accuracy_high"] == pytest.approx(0.9699, abs=1e-4)


def test_the_table_has_a_method_a_line_and_a_task_a_column(study):
    lines = pilot_markdown(study).splitlines()
    assert lines[:6] == [
        "## 2x",
        "",
        "| method |           a |           b |",
        "| :----- | ----------: | ----------: |",
        "| full   | 1.00 / 0.10 | 0.80 / 0.10 |",
        "| h2o    | 0.90 / 0.10 |           - |",
    ]
    assert "| snapkv | 0.10 / 0.10 |" in lines[lines.index("## 8x") :]


def test_bars_stand_in_the_order_of_the_paper(runs, tmp_path, study):
    """Of ratio 2, which has them all, and as published."""
    for place, method in enumerate(bars_published()["method"]):
        for task in ("a", "b"):
            if method not in ("full", "snapkv"):
                runs(task, method, right=place % 10)
    figure = pilot_bars(results(load(tmp_path)))
    ours, theirs = ([bar.get_width() for bar in axis.patches] for axis in figure.axes)
    assert ours[:5] == pytest.approx([0.9, 0.1, 0.2, 0.5, 0.4])
    assert theirs[:5] == pytest.approx([0.88, 0.532, 0.143, 0.643, 0.709])
    assert figure.axes[0].get_title() == "2x, mean of 2 tasks"


def test_the_command_writes_everything(study, tmp_path, capsys):
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *(
            "pilot_accuracy.png",
            "pilot_bars.png",
            "pilot_claims.csv",
            "pilot_embedded.csv",
            "pilot_embedded.md",
            "pilot_loops.png",
        )
    ]
    assert len(pd.read_csv(tmp_path / "out/pilot_embedded.csv")) == 6
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err


def test_a_task_of_two_models_is_refused(study, write, tmp_path, record, capsys):
    write("other", [record()], samples=1, task="a", model="other", method="h2o", ratio=2.0)
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "of a (hard), reasoner and of a (hard), other: give those of one" in capsys.readouterr().err


def test_unfinished_runs_and_forced_ones_are_left_out(study, write, tmp_path, record):
    write("half", [record()], samples=9, task="b", method="h2o", ratio=2.0)
    write("forced", [record()], samples=1, task="b", method="h2o", ratio=2.0, config={"texts": "x"})
    main([str(tmp_path), "--output", str(tmp_path / "out")])
    assert len(pd.read_csv(tmp_path / "out/pilot_embedded.csv")) == 6
