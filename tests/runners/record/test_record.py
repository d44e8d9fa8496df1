import json
import os
import resource

import pytest
from kvarena.runners.record import RunFolder


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(path=tmp_path / "run")
    folder.begin({"identity": "one"})
    return folder


def test_what_is_appended_is_read_back(folder, record):
    other = record(draw=1, score=None)
    folder.append(record())
    folder.append(other)
    assert folder.records() == [record(), other]


def test_a_torn_line_is_left_out_and_cut_off(folder, record):
    folder.append(record())
    whole = folder.records_file.read_bytes()
    folder.records_file.write_bytes(whole + whole[:40])
    assert folder.records() == [record()]
    folder.repair()
    assert folder.records_file.read_bytes() == whole


def test_a_file_with_nothing_but_a_torn_line_is_emptied(folder, record):
    folder.records_file.write_bytes(b'{"sample": "a"')
    folder.repair()
    assert folder.records_file.read_bytes() == b""


def test_two_records_of_one_draw_are_refused(folder, record):
    folder.append(record())
    folder.append(record())
    with pytest.raises(ValueError, match="two records of one sample and draw"):
        folder.records()


@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "sessions.jsonl"])
def test_a_folder_in_the_place_of_a_file_is_named(folder, name):
    (folder.path / name).unlink(missing_ok=True)
    (folder.path / name).mkdir()
    with pytest.raises(ValueError, match=rf"run/{name} is a folder, and has to be a file: move the run away"):
        {"run.json": folder.run, "records.jsonl": folder.records, "sessions.jsonl": folder.sessions}[name]()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"output_dir=.*notes\.txt is a file: give a folder"):
        RunFolder(path=tmp_path / "notes.txt").refuse_strangers()


def test_run_json_is_written_once(folder, record):
    folder.begin({"identity": "two"})
    assert folder.run() == {"identity": "one"}


def test_rewriting_replaces_all(folder, record):
    folder.append(record())
    better = record(score=0.0)
    folder.rewrite([better])
    assert folder.records() == [better]
    assert not list(folder.path.glob("*.tmp"))


def test_a_file_cut_at_any_byte_of_its_last_line_loses_that_line_at_most(folder, record):
    first, last = record(), record(draw=1)
    folder.append(first, last)
    whole = folder.records_file.read_bytes()
    start = whole.index(b"\n") + 1
    for size in range(start, len(whole)):
        folder.records_file.write_bytes(whole[:size])
        assert folder.records() == [first]
        folder.repair()
        folder.append(last)
        assert folder.records_file.read_bytes() == whole
    folder.repair()
    assert folder.records() == [first, last]


def test_what_a_full_disk_tears_is_cut_off_at_once(folder, record):
    folder.append(record())
    whole = folder.records_file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 40, hard))
    try:
        with pytest.raises(OSError, match="File too large, what was there is kept: make room") as full:
            folder.append(record(draw=1), record(draw=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.filename == str(folder.records_file)
    assert folder.records_file.read_bytes() == whole
    folder.append(record(draw=1))
    assert folder.records() == [record(), record(draw=1)]


def test_a_batch_of_lines_is_synced_once(folder, record, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    folder.records_file.touch()
    folder.append(record(), record(draw=1), record(draw=2))
    assert len(synced) == 1


def test_a_run_killed_before_it_had_written_run_json_may_begin(tmp_path):
    folder = RunFolder(path=tmp_path)
    (tmp_path / "lock").touch()
    (tmp_path / "run.json.tmp").write_text("{")
    folder.refuse_strangers()
    folder.begin({"identity": "one"})
    assert folder.run() == {"identity": "one"}
    assert not (tmp_path / "run.json.tmp").exists()


def test_sessions_are_read_back_without_a_torn_line(folder):
    assert folder.sessions() == []
    session = {"started": "2026-01-01", "wall_s": 1.5, "tokens": 3, "records": 1, "steps": 3, "device": "cpu"}
    folder.sessions_file.write_text(json.dumps(session) + '\n{"tok')
    assert folder.sessions() == [session]
