import json
import sys
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_module
from kvarena.runners import evaluate, grade
from kvarena.runners.record import Record, RunFolder
from omegaconf import OmegaConf

RECORD = Record(
    sample="0",
    draw=0,
    token_ids=[1],
    completion="",
    answer="",
    target="",
    score=0.0,
    note="old",
    stop="eos",
    prompt_tokens=1,
    num_tokens=1,
    num_evictions=0,
    peak_slots=2.0,
    mean_slots=2.0,
    tokens_read=2.0,
    resident_bytes=1,
    loop_onset=None,
    loop_period=None,
    prefill_s=0.0,
    decode_s=0.0,
)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    arguments = ["difficulty=easy", "method=full", "num_samples=2", "device=cpu", f"output_dir={tmp_path}/run"]
    monkeypatch.setattr(sys, "argv", ["kvarena", *arguments])
    evaluate.main()
    return RunFolder(path=tmp_path / "run")


def test_verdicts_are_made_anew(folder, capsys):
    right = folder.records()
    assert [record.score for record in right] == [1.0, 1.0]
    folder.rewrite([replace(right[0], score=0.0, answer="", note="old grader"), right[1]])
    assert grade.main([str(folder.path.parent)]) == 0
    assert capsys.readouterr().out == (
        f"{folder.path}: 1 of 2 scores changed, 0 ungraded, 0 with another second opinion\n"
        "  1 x wrong (old grader) -> right\n"
    )
    assert folder.records() == right


@pytest.fixture
def math_run(tmp_path):
    """A finished run on questions of one's own, as it would stand on the disk."""
    rows = [{"id": i, "question": "q", "answer": str(i)} for i in range(40)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        overrides = ["task=local", f"task.path={tmp_path}/mine.jsonl", "+task.grader.seconds=1"]
        config = compose("evaluate", overrides=overrides)
    folder = RunFolder(path=tmp_path / "run")
    folder.begin({"config": OmegaConf.to_container(config, resolve=True), "num_samples": 40})
    for i in range(40):
        record = replace(RECORD, sample=str(i), target=str(i), completion=f"\\boxed{{{i}.0}}", answer="old", score=0.0)
        folder.append(record)
    return folder


def test_verdicts_are_made_side_by_side_and_reasons_counted(math_run, capsys):
    records = math_run.records()
    records[3] = replace(records[3], completion="no box")
    records[4] = replace(records[4], completion="\\boxed{9^{9^{9^{9}}}}")
    records[5] = replace(records[5], stop="error", score=None, note="logits were not finite")
    math_run.rewrite(records)
    assert grade.main([str(math_run.path), "--num-workers", "2"]) == 0
    assert capsys.readouterr().out == (
        f"{math_run.path}: 37 of 40 scores changed, 1 ungraded, 37 with another second opinion\n"
        "  37 x wrong (old) -> right\n"
        "  1 x kept, since it cannot be judged now (timeout)\n"
    )
    after = math_run.records()
    assert [record.sample for record in after] == [str(i) for i in range(40)]
    assert (after[0].answer, after[0].second_opinion, after[0].note) == ("0.0", 0.0, "")
    assert (after[3].score, after[3].note) == (0.0, "no \\boxed answer")
    assert after[4] == records[4]
    assert after[5] == records[5]


def test_verdicts_that_are_there_can_be_left(math_run, capsys):
    records = math_run.records()
    records[3] = replace(records[3], score=None, note="timeout")
    math_run.rewrite(records)
    assert grade.main([str(math_run.path), "--ungraded"]) == 0
    assert capsys.readouterr().out == (
        f"{math_run.path}: 1 of 40 scores changed, 0 ungraded, 1 with another second opinion\n"
        "  1 x ungraded (timeout) -> right\n"
    )
    assert math_run.records()[:3] == records[:3]
    assert math_run.records()[3].score == 1.0
    assert grade.main([str(math_run.path), "--ungraded"]) == 0
    assert capsys.readouterr().out == f"{math_run.path}: all graded\n"


def test_other_data_than_those_of_the_run_are_refused(math_run, tmp_path, capsys):
    before = math_run.records_file.read_bytes()
    text = (tmp_path / "mine.jsonl").read_text()
    (tmp_path / "mine.jsonl").write_text(text.replace('"answer": "7"', '"answer": "8"'))
    assert grade.main([str(math_run.path)]) == 2
    assert "sample 7 has another target than when it was run" in capsys.readouterr().err
    (tmp_path / "mine.jsonl").unlink()
    assert grade.main([str(math_run.path)]) == 2
    assert capsys.readouterr().err == f"kvarena-grade: task.path={tmp_path}/mine.jsonl: no such file\n"
    assert math_run.records_file.read_bytes() == before


def test_records_from_before_the_second_opinion_are_read(math_run):
    lines = [json.loads(line) for line in math_run.records_file.read_text().splitlines()]
    for line in lines:
        del line["second_opinion"]
    math_run.records_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert math_run.records()[0].second_opinion is None


def test_nothing_to_grade_is_said_in_one_line(tmp_path, capsys):
    assert grade.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "kvarena-grade: no run.json below that folder\n"
