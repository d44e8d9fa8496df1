from dataclasses import replace

import pytest
from kvarena.runners.record import Record, RunFolder

RECORD = Record(
    sample="a",
    draw=0,
    token_ids=[3, 1],
    completion="größer ✓",
    answer="1",
    target="1",
    score=1.0,
    note="",
    stop="eos",
    prompt_tokens=5,
    num_tokens=2,
    num_evictions=0,
    peak_slots=7.0,
    mean_slots=6.5,
    tokens_read=6.5,
    resident_bytes=100,
    loop_onset=None,
    loop_period=None,
    prefill_s=0.1,
    decode_s=0.2,
)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(path=tmp_path / "run")
    folder.begin({"identity": "one"})
    return folder


def test_what_is_appended_is_read_back(folder):
    other = replace(RECORD, draw=1, score=None)
    folder.append(RECORD)
    folder.append(other)
    assert folder.records() == [RECORD, other]


def test_a_torn_line_is_left_out_and_cut_off(folder):
    folder.append(RECORD)
    whole = folder.records_file.read_bytes()
    folder.records_file.write_bytes(whole + whole[:40])
    assert folder.records() == [RECORD]
    folder.repair()
    assert folder.records_file.read_bytes() == whole


def test_a_file_with_nothing_but_a_torn_line_is_emptied(folder):
    folder.records_file.write_bytes(b'{"sample": "a"')
    folder.repair()
    assert folder.records_file.read_bytes() == b""


def test_two_records_of_one_draw_are_refused(folder):
    folder.append(RECORD)
    folder.append(RECORD)
    with pytest.raises(ValueError, match="two records of one sample and draw"):
        folder.records()


def test_run_json_is_written_once(folder):
    folder.begin({"identity": "two"})
    assert folder.run() == {"identity": "one"}
    folder.check({"identity": "one"})
    with pytest.raises(ValueError, match="another config"):
        folder.check({"identity": "two"})


def test_rewriting_replaces_all(folder):
    folder.append(RECORD)
    better = replace(RECORD, score=0.0)
    folder.rewrite([better])
    assert folder.records() == [better]
    assert not list(folder.path.glob("*.tmp"))
