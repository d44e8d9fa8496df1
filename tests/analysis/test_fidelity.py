import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from kvarena.analysis import drift_page, fidelity
from kvarena.analysis.drift_page import by_position, over_bytes, spaced
from kvarena.analysis.drift_pairs import drift_marks
from kvarena.analysis.load import load
from kvarena.analysis.panels import FAINT, Look, house_style
from kvarena.analysis.report import main
from kvarena.runners.record import DENSE, write_questions

FORCED = {"reference": "runs/dense", "method": {"budget": {"tokens": 128, "interval": 64}}}


def text(record, kl, **changed):
    size = len(kl)
    drift = {
        "kl": kl,
        "nll": [2 * value for value in kl],
        "mass": [0.5] * size,
        "other": [1],
        "pieces": list("abcdefgh")[:size],
    }
    return record(
        **(
            {"num_tokens": size, "score": None, "note": "forced", "num_evictions": 1, "eviction_steps": [2]}
            | drift
            | changed
        )
    )


@pytest.fixture
def runs(write, record, tmp_path, dense):
    """Two methods on two texts, the second method with four times the drift of the first, and the floor."""
    first, second = [0.0, 0.0, 0.1, 0.3], [0.0, 0.4]
    for name, times in (("snapkv", 1), ("knorm", 4)):
        texts = [
            text(record, [times * v for v in first]),
            text(record, [times * v for v in second], sample="s1", eviction_steps=[1]),
        ]
        write(name, texts, samples=2, config=FORCED, method=name)
    write(
        "floor",
        [text(record, [0.0, 0.001], other=[]), text(record, [0.001, 0.0], sample="s1", other=[])],
        samples=2,
        config=FORCED,
        **dense,
    )
    write("free", [record()], samples=1)
    return load(tmp_path)


def test_what_a_text_comes_to(record):
    pieces = ["<think>", "b</think>", "7", "."]
    found = fidelity.text_drift(text(record, [0.0, 0.0, 0.1, 0.3], pieces=pieces))
    expected = {
        "kl": 0.1,
        "kl_worst": 0.3,
        "kl_end": 0.3,
        "kl_answer": 0.2,
        "nll": 0.2,
        "mass": 0.5,
        "same": 0.75,
        "first": 1,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_a_row_a_forced_run(runs):
    table = fidelity.drift_table(runs).set_index("run")
    assert list(table.index) == ["floor", "snapkv", "knorm"]
    assert table["kl"].to_dict() == pytest.approx({"floor": 0.0005, "snapkv": 0.15, "knorm": 0.6})
    assert table["kl_typical"].to_dict() == pytest.approx(
        {"floor": 0.0005, "snapkv": math.sqrt(0.02), "knorm": math.sqrt(0.32)}
    )
    assert table["floor"].tolist() == [True, False, False]
    # Student's, of two logs ln 0.1 and ln 0.2: half a width of 12.706 * ln 2 / 2
    assert table.loc["snapkv", "kl_high"] == pytest.approx(
        math.sqrt(0.02) * math.exp(12.7062 * math.log(2) / 2), rel=1e-4
    )


def test_drift_by_tokens_since_the_first_eviction(runs):
    table = fidelity.drift_by_position(runs)
    found = {name: rows["kl"].tolist() for name, rows in table.groupby("method")}
    assert found == {
        "snapkv": [pytest.approx(0.3)],
        "knorm": [pytest.approx(1.2)],
    }  # (0.1 + 0.3) / 2 and 0.4, their mean


def test_a_selection_drifts_from_where_it_reads_less(write, record, tmp_path):
    write(
        "quest",
        [text(record, [0.0] * 5, prompt_tokens=126, eviction_steps=[])],
        samples=1,
        config=FORCED,
        evicts=False,
        selects=True,
    )
    (run,) = load(tmp_path)
    assert fidelity.onset(next(run.records()), run) == 3  # 126 of the prompt and two more are 128, all read


def test_a_table_without_a_floor_says_so(runs):
    said = f"No floor: what rounding alone makes, a run of method={DENSE} on these texts says."
    table = fidelity.drift_table(runs)
    assert said not in drift_page.markdown(table)
    assert drift_page.markdown(table[table["method"] != DENSE]).endswith(f" |\n\n{said}\n")


def test_a_report_of_both_kinds(runs, tmp_path, capsys):
    write_questions(tmp_path / "snapkv", {"s0": "Which?"})
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "| `full` (floor) | 1x |  | 2 | 0.0005 |" in shown
    assert "`knorm`" not in shown.split("## Fidelity")[0]  # the accuracy of a forced text is none
    report = tmp_path / "report"
    assert (report / "index.html").exists()
    page = (report / "fidelity.html").read_text()
    rows = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])["rows"]
    assert sorted(row["method"] for row in rows) == ["full", "knorm", "snapkv"]
    place = next(row["place"] for row in rows if row["method"] == "snapkv")
    first, _ = (report / f"drift/{place}/0.js").read_text().split(";")
    assert json.loads(f"[{first.removeprefix('receive(').removesuffix(')')}]") == [
        f"{place}/0-0",
        {
            "target": "a",
            "question": "Which?",
            "pieces": ["a", "b", "c", "d"],
            "kl": [0.0, 0.0, 0.1, 0.3],
            "other": [1],
            "error": [],
            "evictions": [2],
        },
    ]
    forced = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL)[1])["forced"][place]
    assert forced == [
        {"sample": "s0", "draw": 0, "name": f"{place}/0-0"},
        {"sample": "s1", "draw": 0, "name": f"{place}/0-1"},
    ]
    assert {path.name for path in (report / "drift").glob("*.svg")} == {"kl_bytes.svg", "kl_position.svg"}


def test_tokens_without_spaces_get_those_of_the_text():
    pieces = ["<think>", "a", "b", " c", "\n", "d", "</s>", "e"]
    assert spaced(pieces, "<think> a b c\nd e") == ["<think>", " a", " b", " c", "\n", "d", "</s>", " e"]
    assert spaced(["x", "y"], "") == ["x", "y"]


def test_nothing_but_forced_texts(write, record, tmp_path, capsys):
    write("snapkv", [text(record, [0.0, 0.1])], samples=1, config=FORCED)
    assert main([str(tmp_path)]) == 0
    assert not (tmp_path / "report/index.html").exists()
    assert np.isnan(fidelity.drift_table(load(tmp_path))["kl_low"][0])  # of one problem there is no interval


def test_a_text_without_an_answer_counts_in_no_mean_of_answers(write, record, tmp_path):
    texts = [
        text(record, [0.0, 0.1], pieces=["a", "b"]),
        text(record, [0.0, 0.3], sample="s1", pieces=["</think>", "b"]),
    ]
    write("snapkv", texts, samples=2, config=FORCED)
    (row,) = fidelity.drift_table(load(tmp_path)).to_dict("records")
    assert (row["kl_answer"], row["kl"]) == pytest.approx((0.3, 0.1))


def test_first_is_a_median_in_which_a_text_without_any_is_the_latest(write, record, tmp_path):
    def texts(*others):
        return [text(record, [0.1] * 8, sample=f"s{i}", other=other) for i, other in enumerate(others)]

    write("seldom", texts([1], [], []), samples=3, config=FORCED)
    write("often", texts([3], [5, 6], []), samples=3, config=FORCED)
    found = fidelity.drift_table(load(tmp_path)).set_index("run")["first"]
    assert np.isnan(found["seldom"])
    assert found["often"] == 5


def test_a_run_that_is_not_finished_says_so_and_rows_that_look_alike_are_told_apart(write, record, tmp_path):
    write("half", [text(record, [0.0, 0.4])], samples=2, config=FORCED)
    write("begun", [], samples=2, config=FORCED, method="knorm", ratio=2.0)
    table = fidelity.drift_table(load(tmp_path))
    assert table.set_index("run")[["texts", "planned", "note"]].loc["half"].tolist() == [1, 2, "incomplete 1/2"]
    shown = drift_page.markdown(table)
    assert "| `snapkv` | 4x | 128 | 1 | 0.2 | 0.2 |" in shown  # of one problem there is no interval
    assert "| 1.0 | incomplete 1/2 |\n" in shown
    assert "| - | incomplete 0/2 |\n" in shown
    write("again", [text(record, [0.0, 0.2])], samples=1, config=FORCED)
    shown = drift_page.markdown(fidelity.drift_table(load(tmp_path)))
    assert "| 1.0 | incomplete 1/2 | half |\n" in shown
    assert "| 1.0 |  | again |\n" in shown


@pytest.mark.parametrize("changed", [{"kl": None}, {"num_tokens": 3}])
def test_a_record_without_the_drift_of_each_token_is_refused(write, record, tmp_path, capsys, changed):
    write("snapkv", [replace(text(record, [0.0, 0.1]), **changed)], samples=1, config=FORCED)
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert re.search(r"snapkv/records.jsonl: s0 has the KL of \d of its \d tokens: run it again", said)


def test_what_is_unfinished_or_of_another_model_is_faint_in_the_figures_of_drifts(runs, tmp_path, write, record):
    texts = [text(record, [0.0, 0.0, 0.2, 0.4]), text(record, [0.0, 0.2], sample="s1", eviction_steps=[1])]
    write("part", texts[:1], samples=2, config=FORCED, method="tova")
    write("other", texts, samples=2, config=FORCED | {"model": {"dtype": "bfloat16"}}, method="rkv")
    for name in ("floor", "snapkv", "knorm"):
        folder = next(each.folder for each in runs if each.name == name)
        folder.note(config=folder.run()["config"] | {"model": {"dtype": "float32"}})
    found = load(tmp_path)
    table, positions = fidelity.drift_table(found), fidelity.drift_by_position(found)
    table = table.assign(mark=drift_marks(found, table))
    marks = table.set_index("run")["mark"].to_dict()
    assert marks == {"floor": "", "snapkv": "", "knorm": "", "part": "§", "other": "‡"}
    with house_style():
        look = Look(table["method"])
        figures = by_position(positions.merge(table[["run", "mark"]], on="run"), look), over_bytes(table, look)
    for figure in figures:
        drawn = [line for axis in figure.axes for line in axis.lines if len(line.get_xdata())]
        assert [line.get_alpha() for line in drawn].count(FAINT) == 2
        assert len(drawn) > 3
        assert "tova" in {text.get_text() for text in figure.legends[0].texts}
