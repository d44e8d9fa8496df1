import json
import shutil

import pytest
from kvarena.analysis.load import load


def test_runs_are_found_at_any_depth_and_sorted(write, tmp_path):
    for name in ("b", "a/deep/er/run", "a/other"):
        write(name, [], samples=1)
    assert [run.name for run in load(tmp_path)] == ["a/deep/er/run", "a/other", "b"]


def test_the_folder_of_one_run_can_be_named_itself(write, tmp_path, record):
    write("a", [record()], samples=1)
    (run,) = load(tmp_path / "a")
    assert run.name == "."
    assert run.records() == [record()]


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
    assert len(run.records()) == 1
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
    del header["num_draws"], header["labels"]["evicts"]
    folder.run_file.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"a/run\.json lacks num_draws, labels\.evicts"):
        load(tmp_path)


@pytest.mark.parametrize("line", ["{", '{"sample": "s0"}'])
def test_a_broken_record_is_named(write, tmp_path, line):
    folder = write("a", [], samples=1)
    folder.records_file.write_text(line + "\n")
    (run,) = load(tmp_path)
    with pytest.raises(ValueError, match=r"records\.jsonl holds a line that is no record"):
        run.records()


def test_a_broken_session_is_named(write, tmp_path):
    folder = write("a", [], samples=1)
    folder.sessions_file.write_text("{\n")
    (run,) = load(tmp_path)
    with pytest.raises(ValueError, match=r"sessions\.jsonl holds a line that is no session"):
        run.sessions()
