import re
from importlib.resources import files

import pandas as pd
import pytest
import torch
from kvarena.analysis.figures import draw_all, onset_figure
from kvarena.analysis.load import load
from kvarena.analysis.marks import marks
from kvarena.analysis.panels import FAINT, MARKERS, Look, house_style, legend, panels
from kvarena.analysis.tables import results
from kvarena.analysis.trade_offs import accuracy_bytes_figure, accuracy_memory_figure, front, ratio_figure
from PIL import Image
from safetensors.torch import save_file

NAMES = [
    *("accuracy_ratio", "accuracy_memory", "accuracy_bytes", "loops_ratio", "onset_evictions"),
    *("value_range", "diversity", "step_time"),
]
BENCHMARK = {"model": "qwen3_14b", "method": "full", "batch": 16, "position": 4096, "ms": 20.0}
BENCHMARK |= {"weight_bytes": 28e9, "kv_bytes": 10.9e9, "copy_gb_per_s": 3020.0}


def draw(folder, benchmarks=()):
    runs = load(folder)
    table = results(runs)
    with house_style():
        look = Look(table["method"])
    return draw_all(runs, table, pd.DataFrame(list(benchmarks)), look, folder / "figures")


@pytest.mark.usefixtures("traced_run")
def test_all_are_drawn(write, tmp_path, record, dense, config):
    write("full", [record()], samples=1, **dense)
    looping = record(loop_onset=2, loop_period=1, score=0.0)
    write("b", [looping], samples=1, config=config(128), ratio=2.0, cache="fp8").note(bytes_share=0.26)
    assert draw(tmp_path, [BENCHMARK]) == {}
    for name in NAMES:
        svg = (tmp_path / f"figures/{name}.svg").read_text()
        assert svg.count("<path") > 5
        assert Image.open(tmp_path / f"figures/{name}.png").width > 400
    assert "snapkv" in (tmp_path / "figures/accuracy_ratio.svg").read_text()  # text stays text


@pytest.fixture
def traced_run(write):
    folder = write("a", [], samples=1).path / "trace"
    folder.mkdir()
    tensors = {"0/0/values": torch.ones(2, 3, 4), "0/0/kept": torch.tensor([[0, 1], [0, 2]])}
    save_file(tensors, folder / "s-0.safetensors")


def test_what_cannot_be_drawn_says_why(write, tmp_path):
    write("a", [], samples=1)
    reasons = draw(tmp_path)
    assert sorted(reasons) == sorted(NAMES)
    assert reasons["onset_evictions"] == "no completion ends in a loop"
    assert "engine.trace" in reasons["diversity"]
    assert "kvarena-benchmark" in reasons["step_time"]


def test_a_figure_of_an_earlier_report_does_not_stay(write, tmp_path, record):
    write("a", [record()], samples=1)
    assert "step_time" not in draw(tmp_path, [BENCHMARK])
    assert "step_time" in draw(tmp_path)
    assert list((tmp_path / "figures").glob("step_time.*")) == []


@pytest.fixture
def mixed(write, tmp_path, record, dense):
    """Results of a whole run, of one of fewer problems that an unfinished one shares a method with, and of dense."""
    records = [record(sample=f"p{i}", score=float(i < 2), resident_bytes=4000) for i in range(4)]
    cheap = [record(score=1.0, resident_bytes=1000, loop_onset=2, loop_period=1)]
    write("full", records, samples=4, **dense).note(bytes_share=1.0)
    write("a", records, samples=4, method="a").note(bytes_share=0.25)
    write("b", cheap, samples=4, method="b", ratio=2.0).note(bytes_share=0.5)
    write("c", cheap, samples=1, method="b", ratio=3.0).note(bytes_share=0.3)
    table = results(load(tmp_path))
    return table.assign(mark=marks(table))


@pytest.mark.parametrize(
    ("draw", "x"),
    [
        (lambda table, look: ratio_figure(table, look, "accuracy", "pass@1"), None),
        (accuracy_memory_figure, {0.001}),
        (accuracy_bytes_figure, {0.5, 0.3}),
    ],
)
def test_what_does_not_stand_beside_the_others_is_faint_and_on_no_line(mixed, draw, x):
    with house_style():
        (axis,) = draw(mixed, Look(mixed["method"])).axes
    faint = [line for line in axis.lines if line.get_alpha() == FAINT and len(line.get_xdata())]
    assert [(line.get_linestyle(), list(line.get_ydata())) for line in faint] == [("None", [1.0, 1.0])]
    assert x is None or set(faint[0].get_xdata()) == x
    others = [y for line in axis.lines if line not in faint for y in line.get_ydata()]
    assert set(others) == {0.5}  # of points, of the line of dense, and of the front
    names = axis.get_legend_handles_labels()[1]
    assert "faint: unfinished, of other problems, or unlike dense" in names
    assert names.count("b") == 1  # in full colour there


def test_loops_of_what_does_not_stand_beside_the_others_are_faint(mixed, tmp_path):
    with house_style():
        (axis,) = onset_figure(load(tmp_path), mixed, Look(mixed["method"])).axes
    assert [line.get_alpha() for line in axis.lines if len(line.get_xdata())] == [FAINT]


def test_the_front():
    cost, value = pd.Series([3.0, 1.0, 2.0, 2.0, 4.0]), pd.Series([0.5, 0.3, 0.6, 0.4, 0.9])
    assert front(cost, value) == ([1.0, 2.0, 4.0], [0.3, 0.6, 0.9])


def test_forty_methods_look_different_on_paper_and_on_the_page():
    with house_style():
        look = Look([f"m{i:02}" for i in range(41)])
    looks = [(each["color"], each["marker"]) for each in look.of.values()]
    assert (len(set(looks[:41])), len({colour for colour, _ in looks[1:]}), len({mark for _, mark in looks[1:]})) == (
        41,
        8,
        5,
    )
    assert looks[41] == looks[1]
    assert look.of["m40"]["markerfacecolor"] == "white"
    page = look.page()
    assert (page["m00"], page["m40"]) == (
        {"colour": "#0072B2", "symbol": "circle"},
        {"colour": "#0072B2", "symbol": "circle-open"},
    )
    assert "full" not in page


def test_a_figure_grows_with_its_legend(tmp_path):
    """Seventeen methods below one panel once left it no height."""
    heights = []
    for count in 2, 40:
        with house_style():
            figure, axes = panels(["one"])
            for i in range(count):
                axes[0].plot([0, 1], [0, i], label=f"method {i}")
            legend(figure, axes)
            figure.savefig(tmp_path / "figure.png")
        heights.append(axes[0].get_window_extent().height)
    assert heights[1] > 0.8 * heights[0]


def test_a_colour_is_a_method_and_a_marker_a_cache():
    names = [f"{method}{cache}" for method in ("quest", "snapkv") for cache in ("", " + fp8", " + int8")]
    with house_style():
        look = Look([*names, "full + fp8"])
    assert {name: (each["color"], each["marker"]) for name, each in look.of.items()} == {
        "full": ("black", "*"),
        "full + fp8": ("#0072B2", "s"),
        "quest": ("#D55E00", "o"),
        "quest + fp8": ("#D55E00", "s"),
        "quest + int8": ("#D55E00", "D"),
        "snapkv": ("#009E73", "o"),
        "snapkv + fp8": ("#009E73", "s"),
        "snapkv + int8": ("#009E73", "D"),
    }


def test_the_page_draws_every_marker():
    drawn = (files("kvarena.analysis") / "page" / "looks.js").read_text()
    assert {*MARKERS.values(), "star"} == set(re.findall(r'^  "?([a-z-]+)"?: "M', drawn, re.MULTILINE))
