import json

import pytest
from kvarena.analysis.assemble import assembled, script_safe
from kvarena.analysis.html import page_settings, write_all_texts
from kvarena.analysis.load import load
from kvarena.runners.record import write_questions


def test_a_script_is_not_ended_by_what_a_model_wrote():
    assert script_safe("</script><b>") == '"\\u003c/script>\\u003cb>"'
    assert json.loads(script_safe({"a": "</script>"})) == {"a": "</script>"}
    with pytest.raises(ValueError, match="Out of range"):
        script_safe(float("nan"))


def test_the_problems_of_a_setting_are_sorted_by_how_many_runs_solve_them(write, tmp_path, record):
    write("a", [record(sample="x", score=0.0, loop_onset=1), record(sample="y")], samples=2)
    write("b", [record(sample="y", draw=1, score=0.0, loop_onset=1), record(sample="y", score=1.0)], samples=2, draws=2)
    (found,) = page_settings(load(tmp_path), [["0/0-0", "0/0-1"], ["1/1-0", "1/0-1"]], tmp_path / "texts")
    assert found["title"] == "graph_search (hard), reasoner"
    assert [problem["sample"] for problem in found["problems"]] == ["y", "x"]
    a, b = found["runs"]
    assert (a["scores"], a["loops"], a["first_loops"]) == ([1.0, 0.0], [0.0, 1.0], [0, 0])
    assert (b["scores"], b["loops"], b["first_loops"]) == ([0.5, None], [0.5, None], [1, 0])
    assert a["draws"] == [[[0, "0/0-1"]], [[0, "0/0-0"]]]
    assert b["draws"] == [[[0, "1/1-0"], [1, "1/0-1"]], []]
    assert [problem["question"] for problem in found["problems"]] == [None, None]


def test_a_question_is_written_once_whichever_run_has_it(write, tmp_path, record):
    """Under the problem's place; one that another prompt asks by the same name is another problem."""
    write("a", [record(sample="x", prompt_sha="1"), record(sample="y", prompt_sha="2")], samples=2)
    for name, sha, question in (("b", "1", "One?"), ("c", "3", "Other?")):
        written = write(name, [record(sample="x", prompt_sha=sha)], samples=1)
        write_questions(written.path, {"x": question})
    (found,) = page_settings(load(tmp_path), [["0/0-0", "0/0-1"], ["1/0-0"], ["2/0-0"]], tmp_path / "texts")
    problems = {problem["question"]: problem["sample"] for problem in found["problems"]}
    assert problems == {"q0/0-0": "x", None: "y", "q0/0-2": "x"}
    script = (tmp_path / "texts/q0/0.js").read_text()
    assert script == 'receive("q0/0-0","One?");receive("q0/0-2","Other?")'


def test_a_completion_is_held_to_the_dense_run_that_is_like_its_own(write, tmp_path, record, dense):
    """Dense itself leaves nothing, and of other prompts it says nothing."""
    write("a", [record(token_ids=[1, 7], prompt_sha="1")], samples=1)
    write("full", [record(token_ids=[1, 2], prompt_sha="1")], samples=1, **dense)
    write("other", [record(token_ids=[1, 7], prompt_sha="2")], samples=1)
    write_all_texts(load(tmp_path), tmp_path / "texts")
    said = [(tmp_path / f"texts/{place}/0.js").read_text() for place in range(3)]
    assert ['"leaves":1,' in text for text in said] == [True, False, False]
    assert all('"leaves":null,' in text for text in said[1:])


def test_a_page_is_whole():
    """No place is left open, and what is given is not searched for places."""
    page = assembled("index.html", {"plotly": "/* element.js */", "data": "{}"})
    assert page.count("/* element.js */") == 1
    assert page.count('"use strict";') == 24
    assert "/* start.js */" not in page
