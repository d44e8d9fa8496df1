import json
import shutil

import pytest
from kvarena import analysis
from kvarena.analysis.load import load
from kvarena.runners.loops import repetition


def test_runs_are_found_at_any_depth_and_sorted(write, tmp_path):
    for name in ("b", "a/deep/er/run", "a/other"):
        write(name, [], samples=1)
    assert [run.name for run in load(tmp_path)] == ["a/deep/er/run", "a/other", "b"]


def test_the_folder_of_one_run_can_be_named_itself(write, tmp_path, record):
    write("a", [record()], samples=1)
    (run,) = load(tmp_path / "a")
    assert run.name == "."
    assert list(run.records()) == [record()]


def test_the_report_folder_is_ignored(write, tmp_path):
    write("a", [], samples=1)
    shutil.copytree(tmp_path / "a", tmp_path / "report" / "a")
    assert [run.name for run in load(tmp_path)] == ["a"]


def test_a_parent_called_report_is_no_report(write, tmp_path):
    write("report/a", [], samples=1)
    assert [run.name for run in load(tmp_path / "report")] == ["a"]


def test_torn_last_lines_are_left_out(write, tmp_path, record):
    folder = write("a", [record()], samples=2, sessions=[(1.0, 5)])
    for path in (folder.records_file, folder.sessions_file):
        path.write_text(path.read_text() + '{"sample": "to')
    (run,) = load(tmp_path)
    assert len(list(run.records())) == 1
    assert [session["tokens"] for session in run.sessions()] == [5]


def test_no_run_and_no_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no run\.json below it"):
        load(tmp_path)
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        load(tmp_path / "nowhere")


def test_a_broken_run_file_is_named(write, tmp_path):
    folder = write("a", [], samples=1)
    folder.run_file.write_text("{")
    with pytest.raises(ValueError, match=r"a/run\.json is not JSON"):
        load(tmp_path)


def test_a_run_file_of_something_else_is_named_with_what_it_lacks(write, tmp_path):
    folder = write("a", [], samples=1)
    header = folder.run()
    del header["num_draws"]
    folder.run_file.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"a/run\.json lacks num_draws"):
        load(tmp_path)
    del header["labels"]["evicts"], header["labels"]["method"]
    folder.run_file.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"a/run\.json lacks labels\.method, labels\.evicts"):
        load(tmp_path)


@pytest.mark.parametrize("line", ["{", '{"sample": "s0"}'])
def test_a_broken_record_is_named(write, tmp_path, line):
    folder = write("a", [], samples=1)
    folder.records_file.write_text(line + "\n")
    (run,) = load(tmp_path)
    with pytest.raises(ValueError, match=r"records\.jsonl holds a line that is no record"):
        list(run.records())


def test_a_broken_session_is_named(write, tmp_path):
    folder = write("a", [], samples=1)
    folder.sessions_file.write_text("{\n")
    (run,) = load(tmp_path)
    with pytest.raises(ValueError, match=r"sessions\.jsonl holds a line that is no session"):
        run.sessions()


def test_outcomes_are_sorted_and_leave_the_text_out(write, tmp_path, record):
    write("a", [record(sample="s1"), record(sample="s0", draw=1), record(sample="s0")], samples=2, draws=2)
    (run,) = load(tmp_path)
    assert [outcome.key for outcome in run.outcomes] == [("s0", 0), ("s0", 1), ("s1", 0)]
    assert {(outcome.completion, len(outcome.token_ids)) for outcome in run.outcomes} == {("", 0)}


def test_what_an_old_record_lacks_is_computed(write, tmp_path, record):
    looping = record(token_ids=[1, 2] * 200, completion="one two " * 200)
    write("a", [looping], samples=1)
    (outcome,) = load(tmp_path)[0].outcomes
    assert (outcome.loop_strict, outcome.vase_class) == (True, "phrase_loop")
    assert outcome.seq_rep_4 > 0.99


def test_what_a_record_says_is_not_computed_again(write, tmp_path, record):
    said = repetition([1, 2, 3], "abc")._replace(zlib_ratio=3.5)
    write("a", [record(**said._asdict())], samples=1)
    assert load(tmp_path)[0].outcomes[0].zlib_ratio == 3.5


def test_two_records_of_one_draw_are_named(write, tmp_path, record):
    write("a", [record(), record()], samples=1)
    with pytest.raises(ValueError, match="two records of one sample and draw"):
        _ = load(tmp_path)[0].outcomes


def test_to_pandas(write, tmp_path, record, dense):
    write("b", [record(), record(sample="s1", score=None)], samples=2)
    write("a", [], samples=2, **dense)
    table = analysis.load(str(tmp_path)).to_pandas()
    assert table[["run", "method", "tokens", "sample", "num_tokens"]].values.tolist() == [
        ["b", "snapkv", 128, "s0", 100],
        ["b", "snapkv", 128, "s1", 100],
    ]
    assert table.score.isna().tolist() == [False, True]
    assert not {"completion", "token_ids"} & set(table.columns)
