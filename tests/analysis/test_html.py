import json
import re

import pytest
from kvarena.analysis import html
from kvarena.analysis.html import characters, loop_character, page_settings, reader_facts, script_safe, units
from kvarena.analysis.load import load


def test_a_script_is_not_ended_by_what_a_model_wrote():
    assert script_safe("</script><b>") == '"\\u003c/script>\\u003cb>"'
    assert json.loads(script_safe({"a": "</script>"})) == {"a": "</script>"}
    with pytest.raises(ValueError, match="Out of range"):
        script_safe(float("nan"))


def test_the_problems_of_a_setting_are_sorted_by_how_many_runs_solve_them(write, tmp_path, record):
    write("a", [record(sample="x", score=0.0, loop_onset=1), record(sample="y")], samples=2)
    write("b", [record(sample="y", draw=1, score=0.0, loop_onset=1), record(sample="y", score=1.0)], samples=2, draws=2)
    (found,) = page_settings(load(tmp_path), [["0-0", "0-1"], ["1-0", "0-1"]])
    assert found["title"] == "graph_search (hard), reasoner"
    assert [problem["sample"] for problem in found["problems"]] == ["y", "x"]
    a, b = found["runs"]
    assert (a["scores"], a["loops"], a["first_loops"]) == ([1.0, 0.0], [0.0, 1.0], [0, 0])
    assert (b["scores"], b["loops"], b["first_loops"]) == ([0.5, None], [0.5, None], [1, 0])
    assert a["draws"] == [["0-1"], ["0-0"]]
    assert b["draws"] == [["1-0", "0-1"], []]


def test_scripts_hold_several_completions_and_names_say_which(write, tmp_path, record, monkeypatch):
    """In the order in which they ended, named as they are sorted; a script ends with the one that fills it."""
    monkeypatch.setattr(html, "SCRIPT", 1000)
    write("a", [record(sample=name, completion=name * 500) for name in "cbad"], samples=4)
    (run,) = load(tmp_path)
    names = html.write_texts(run, tmp_path / "texts/7")
    assert names == ["1-0", "0-1", "0-2", "1-3"]
    for script, held in (("0", ["0-2", "0-1"]), ("1", ["1-0", "1-3"])):
        calls = (tmp_path / f"texts/7/{script}.js").read_text()
        assert re.findall(r'receive\("7/([-0-9]+)"', calls) == held
    assert not (tmp_path / "texts/7/2.js").exists()
    assert f'"completion":"{"b" * 500}"' in (tmp_path / "texts/7/0.js").read_text()


def test_a_text_and_its_marks(record):
    row = record(completion="0123456789" * 6, num_tokens=60, prompt_tokens=20, num_evictions=6, score=float("nan"))
    found = reader_facts(row, {"tokens": 24, "interval": 8})
    assert found["evictions"] == [[13, 13], [21, 21], [29, 29], [37, 37], [45, 45], [53, 53]]
    assert (found["score"], found["budget"], found["loop_character"]) == (None, 24, None)


def test_marks_stand_before_words(record):
    row = record(completion="seven letters at least", num_tokens=22)
    assert characters(row, [10]) == [6]  # before "letters"


def test_where_a_loop_begins_in_the_text(record):
    row = record(completion="a start at" + " go on" * 20, num_tokens=23, loop_onset=3, loop_period=2)
    assert loop_character(row) == len("a start at")
    assert loop_character(record(completion="anything", loop_onset=3, loop_character=5)) == 5
    assert loop_character(record(completion="0123456789", num_tokens=100, loop_onset=50)) == 5  # in proportion


def test_places_are_counted_as_a_browser_does():
    assert units("abc", 2) == 2
    assert units("a\U0001f600b", 2) == 3
    assert units("aéb", 2) == 2
