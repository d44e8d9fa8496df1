import pytest
from kvarena.analysis.load import load
from kvarena.analysis.narrow import narrow_markdown, narrow_text
from kvarena.analysis.tables import results


@pytest.fixture
def table(write, tmp_path, record, dense):
    evicted = [record(sample="a"), record(sample="b", score=0.0, stop="length", loop_onset=3)]
    write("full", [record(sample="a", num_evictions=0, peak_slots=512.0)], samples=1, **dense)
    write("snapkv", evicted, samples=2)
    write("aime", [record(sample="a", score=None)], samples=2, task="aime24", difficulty=None)
    return results(load(tmp_path))


TERMINAL = """\
aime24, reasoner

method  ratio  budget  accuracy  vs dense  loops  truncated  length  peak slots  evictions  note
------  -----  ------  --------  --------  -----  ---------  ------  ----------  ---------  ----
snapkv     4x     128         -         -   0.0%       0.0%     100         140        2.0  {aime}


graph_search (hard), reasoner

method  ratio  budget              accuracy  vs dense  loops  truncated  length  peak slots  evictions  note
------  -----  ------  --------------------  --------  -----  ---------  ------  ----------  ---------  ----
full       1x       -  1.000 [0.158, 1.000]         -   0.0%       0.0%     100         512        0.0
snapkv     4x     128  0.500 [0.094, 0.906]   +0.000   50.0%      50.0%     100         140        2.0  {graph}
"""


def test_terminal(table):
    # the last dashes of a rule are as long as the longest note
    notes = {"aime": "incomplete 1/2; no dense run; ungraded 1", "graph": "1 of 2 problems in common with dense"}
    lines = [line.rstrip("-") for line in TERMINAL.format(**notes).splitlines()]
    assert [line.rstrip("-") for line in narrow_text(table).splitlines()][: len(lines)] == lines


def test_markdown_is_a_table_for_each_block(table):
    lines = narrow_markdown(table).splitlines()
    assert lines[0] == "## aime24, reasoner"
    assert "## graph_search (hard), reasoner" in lines
    piped = [line for line in lines if line.startswith("|")]
    assert len(piped) == 7
    assert {line.count("|") for line in piped} == {12}
    start = lines.index("## graph_search (hard), reasoner") + 2
    assert len({len(line) for line in lines[start : start + 4]}) == 1
    assert set(lines[start + 1]) == set("|-: ")


def test_the_folder_is_shown_where_labels_are_shared(write, tmp_path, record):
    write("seed0", [record()], samples=1)
    assert "seed0" not in narrow_text(results(load(tmp_path)))
    write("seed1", [record()], samples=1)
    text = narrow_text(results(load(tmp_path)))
    assert "seed0" in text
    assert "seed1" in text


def test_a_run_without_records_is_shown(write, tmp_path):
    write("a", [], samples=8)
    assert "incomplete 0/8" in narrow_text(results(load(tmp_path)))


def test_errors_are_shown(write, tmp_path, record):
    write("a", [record(sample="a"), record(sample="b", stop="error", score=0.0)], samples=2)
    assert narrow_text(results(load(tmp_path))).splitlines()[4].endswith("2.0  no dense run; errors 50.0%")
