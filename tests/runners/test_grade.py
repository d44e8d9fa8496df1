import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from importlib.resources import files

import pytest
from hydra import compose, initialize_config_module
from kvarena.runners import evaluate, grade
from kvarena.runners.plugins import start
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
    arguments = ["difficulty=easy", "levels.easy.min_chain=30", "levels.easy.max_chain=70", "method=full"]
    arguments += ["num_samples=2", "device=cpu", f"output_dir={tmp_path}/run"]
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


def test_a_signal_leaves_verdicts_and_records_of_one_mind(folder, monkeypatch, capsys):
    """What was judged is remembered first; records of before would have their verdicts remembered twice."""
    right = folder.records()
    folder.rewrite([replace(right[0], score=0.0, answer="", note="old grader"), right[1]])
    remember = grade.remember

    def remembered(*given):
        remember(*given)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(grade, "remember", remembered)
    monkeypatch.setattr(sys, "argv", ["kvarena-grade", str(folder.path)])
    with pytest.raises(SystemExit) as stopped:
        start.start_grade()
    assert stopped.value.code == 143
    assert folder.records() == right
    assert capsys.readouterr().out == ""


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


@pytest.mark.parametrize(
    ("facts", "others", "score"),
    [
        ({"opens_thought": True}, "", 0.0),
        ({"opens_thought": False}, "", 1.0),
        ({}, "I see.</think> It is so.", 0.0),  # an older run: others show that the prompt opened the thought
        ({}, "<think>I see.</think> It is so.", 1.0),
        ({}, "", 1.0),  # nothing shows it, so the template of the model is asked
    ],
)
def test_a_thought_that_the_prompt_opened_is_known(math_run, facts, others, score):
    math_run.note(**facts)
    records = [replace(record, completion=others) for record in math_run.records()]
    math_run.rewrite([replace(records[0], completion=r"So \boxed{0}. So \boxed{0}"), *records[1:]])
    assert grade.main([str(math_run.path)]) == 0
    record = math_run.records()[0]
    assert (record.score, record.note) == (score, "" if score else "thought not ended")
    assert record.score_unfinished == 1.0


def test_the_template_of_an_older_run_is_asked(math_run, tmp_path):
    folder = tmp_path / "thinks"
    shutil.copytree(
        files("kvarena.models") / "reasoner", folder, ignore=shutil.ignore_patterns("*.safetensors", "*.csv")
    )
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n", "assistant\n<think>\n"))
    config = math_run.run()["config"]
    math_run.note(config=config | {"model": config["model"] | {"path": str(folder)}})
    assert grade.main([str(math_run.path)]) == 0
    assert {(record.score, record.score_unfinished) for record in math_run.records()} == {(0.0, 1.0)}


def test_another_grader_judges_and_what_it_replaces_is_kept(math_run, capsys):
    assert grade.main([str(math_run.path)]) == 0
    assert not {record.score for record in math_run.records()} - {1.0}
    assert grade.main([str(math_run.path), "grader=exact"]) == 0
    assert "40 x right -> wrong" in capsys.readouterr().out
    lines = [json.loads(line) for line in math_run.verdicts_file.read_text().splitlines()]
    assert [(line["sample"], line["draw"]) for line in lines] == [(str(i), 0) for i in range(40)] * 2
    assert lines[40]["before"] == {"score": 1.0, "answer": "0.0", "note": ""}
    assert lines[40]["after"] == {"score": 0.0, "answer": "0.0", "note": ""}
    assert lines[40]["grader"] == {"_target_": "kvarena.tasks.graders.exact.ExactGrader"}
    assert lines[0]["grader"] == {"_target_": "kvarena.tasks.graders.math.MathGrader", "seconds": 1}
    size = math_run.verdicts_file.stat().st_size
    assert grade.main([str(math_run.path), "grader._target_=kvarena.tasks.graders.exact.ExactGrader"]) == 0
    assert math_run.verdicts_file.stat().st_size == size
    assert grade.main([str(math_run.path), "grader=gsm8k", "grader.seconds=2"]) == 0
    assert {record.score for record in math_run.records()} == {1.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["grader._target_=builtins.dict"], "grader: builtins.dict is none, it cannot be called"),
        (
            ["grader=nonsense"],
            "grader=nonsense: use choice, code, exact, math, the name of a task, or grader._target_=",
        ),
        (["grader.seconds=0"], "task.grader.seconds=0: use a positive number"),
        (["grader._target_=nowhere.Grader"], "No module named 'nowhere'"),
        (["task=gsm8k"], "task=gsm8k: only grader=NAME and grader.KEY=VALUE can be given"),
    ],
)
def test_what_is_no_grader_is_refused_in_one_line(math_run, overrides, message, capsys):
    before = {path: path.read_bytes() for path in math_run.path.iterdir()}
    assert grade.main([str(math_run.path), *overrides]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("kvarena-grade: ")
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in math_run.path.iterdir() if path.name != "lock"} == before


def test_programs_that_are_graded_stay_so_where_no_sandbox_is(tmp_path, monkeypatch, capsys):
    tests = json.dumps([{"input": "4", "output": "8"}])
    row = {"question_id": "x", "question_content": "q", "starter_code": "", "difficulty": "medium"}
    (tmp_path / "release.jsonl").write_text(json.dumps(row | {"public_test_cases": tests}) + "\n")
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        config = compose("evaluate", overrides=["task=livecodebench", f"task.path={tmp_path}/release.jsonl"])
    folder = RunFolder(path=tmp_path / "run")
    folder.begin({"config": OmegaConf.to_container(config, resolve=True), "num_samples": 1, "opens_thought": False})
    folder.append(replace(RECORD, sample="x", completion="```python\nprint(8)\n```", score=1.0, note="", answer="a"))
    before = folder.records()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grade.main([str(folder.path)]) == 0
    assert folder.records() == before
    assert capsys.readouterr().out == (
        f"{folder.path}: 0 of 1 scores changed, 0 ungraded, 0 with another second opinion\n"
        "  1 x kept, since it cannot be judged now (grading code needs bubblewrap: apt-get install bubblewrap)\n"
    )


def test_verdicts_survive_a_worker_that_cannot_start(math_run, monkeypatch, tmp_path, capsys):
    (tmp_path / "python").write_text("#!/bin/sh\necho 'ImportError: broken' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/python")
    before = [replace(record, completion=r"\boxed{1/3}") for record in math_run.records()]
    math_run.rewrite(before)
    assert grade.main([str(math_run.path), "--num-workers", "2"]) == 0
    assert math_run.records() == before
    assert "40 x kept, since it cannot be judged now (error: the comparison ended with 1: ImportError: broken)" in (
        capsys.readouterr().out
    )


def test_a_record_whose_text_was_left_out_keeps_its_verdict(math_run, capsys):
    before = [replace(record, token_ids=[], completion="", score=1.0) for record in math_run.records()]
    math_run.rewrite(before)
    assert grade.main([str(math_run.path)]) == 0
    assert math_run.records() == before
    assert (
        "40 x kept, since it cannot be judged now (its text was left out when it was packed)" in capsys.readouterr().out
    )


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
    assert capsys.readouterr().err.endswith(f": task.path={tmp_path}/mine.jsonl: no such file\n")
    assert math_run.records_file.read_bytes() == before


def test_records_from_before_the_second_opinion_are_read(math_run):
    lines = [json.loads(line) for line in math_run.records_file.read_text().splitlines()]
    for line in lines:
        del line["second_opinion"]
    math_run.records_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert math_run.records()[0].second_opinion is None


def test_nothing_to_grade_is_said_in_one_line(tmp_path, capsys):
    assert grade.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"kvarena-grade: RUNS_DIR={tmp_path}: no run.json below it, give a run's folder, or one above\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "--num-workers", "0"], "argument --num-workers: '0' is no whole number of at least 1"),
        (["runs", "--num-workers", "two"], "argument --num-workers: 'two' is no whole number of at least 1"),
        (["runs", "--fast"], "unrecognized arguments: --fast"),
    ],
    ids=["none", "no number", "unknown"],
)
def test_mistakes_of_a_command_line_are_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        grade.main(arguments)
    assert capsys.readouterr().err == f"kvarena-grade: {said}; see kvarena-grade --help\n"


@pytest.mark.parametrize(
    "config",
    [None, 3, [], {}, {"task": None}, {"task": {"_target_": "builtins.dict"}}, {"task": {"name": "x"}}],
    ids=str,
)
def test_a_run_whose_task_cannot_be_built_is_named(math_run, capsys, config):
    run = math_run.run() | {"config": config}
    math_run.run_file.write_text(json.dumps(run))
    before = math_run.records_file.read_bytes()
    assert grade.main([str(math_run.path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    why = "its task cannot be built anew: " if isinstance(config, dict) else "config: Input should be an object"
    assert line.startswith(f"kvarena-grade: {math_run.run_file}: {why}")
    assert math_run.records_file.read_bytes() == before


class Broken:
    def __call__(self, completion, target, meta):
        raise RuntimeError("out of\nluck")


def test_a_grader_that_breaks_replaces_nothing(math_run, capsys, monkeypatch):
    monkeypatch.setattr("kvarena.tasks.graders.exact.Broken", Broken, raising=False)
    before = [record.score for record in math_run.records()]
    assert grade.main([str(math_run.path), "grader._target_=kvarena.tasks.graders.exact.Broken"]) == 0
    assert (
        "kept, since it cannot be judged now (the grader ended in RuntimeError: out of luck)" in capsys.readouterr().out
    )
    assert [record.score for record in math_run.records()] == before


def test_a_file_of_a_run_is_refused_with_its_folder(math_run, capsys):
    assert grade.main([str(math_run.records_file)]) == 2
    said = f"{math_run.records_file} is a file of a run: give its folder, {math_run.path}"
    assert capsys.readouterr().err == f"kvarena-grade: {said}\n"
