"""Where methods stand, of runs as the evaluation writes them."""

import pytest
from kvarena.analysis.load import load
from kvarena.analysis.panels import house_style
from kvarena.analysis.studies.standing import main, standing_figure
from kvarena.analysis.tables import results


def figure_of(folder):
    with house_style():
        return standing_figure(results(load(folder)))


def test_a_panel_a_ratio_the_best_first_with_accuracy_and_loops(write, tmp_path, record, dense):
    right, wrong = (record(score=score, sample="s0") for score in (1.0, 0.0))
    write("runs/full", [right], samples=1, **dense)
    write("runs/a", [wrong], samples=1, ratio=2.0)
    write("runs/b", [right], samples=1, ratio=2.0, method="h2o")
    write("runs/c", [right], samples=1, ratio=4.0, method="h2o")
    write("runs/cut_short", [right], samples=2, ratio=8.0, method="h2o")  # not drawn
    first, second = figure_of(tmp_path / "runs").axes
    assert [axis.get_title() for axis in (first, second)] == ["2x less", "4x less"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["h2o", "snapkv"]
    accuracy, loops = (container.lines[0].get_xdata().tolist() for container in first.containers)
    assert accuracy == [1.0, 0.0]
    assert loops == [0.0, 0.0]


def test_what_is_unlike_dense_is_not_drawn(write, tmp_path, record, dense, config):
    asked = config() | {"max_tokens": 100}
    write("runs/full", [record()], samples=1, config=asked, **dense)
    write("runs/a", [record()], samples=1, ratio=2.0, config=asked)
    write("runs/b", [record()], samples=1, ratio=2.0, method="h2o", config=asked | {"max_tokens": 9999})
    (axis,) = figure_of(tmp_path / "runs").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["snapkv"]


def test_runs_of_two_tasks_are_refused(write, tmp_path, record):
    write("runs/a", [record()], samples=1)
    write("runs/b", [record()], samples=1, task="other")
    with pytest.raises(ValueError, match="2 tasks and models: give a folder"):
        figure_of(tmp_path / "runs")


def test_the_command_writes_a_picture(write, tmp_path, record):
    write("runs/a", [record()], samples=1)
    main([str(tmp_path / "runs"), str(tmp_path / "out.png")])
    assert (tmp_path / "out.png").stat().st_size > 1000
