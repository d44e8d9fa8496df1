"""A run as a log of inspect_ai, read back by its own library."""

import importlib.util
import json
import sys

import pytest
from kvarena.runners import evaluate
from kvarena.runners.export.command import main
from kvarena.runners.record import RunFolder

ABSENT = importlib.util.find_spec("inspect_ai") is None
needs_inspect = pytest.mark.skipif(ABSENT, reason="the extra inspect is not installed")


@pytest.fixture
def run(tmp_path, monkeypatch, standin):
    """Two draws of two questions, 24 tokens each."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": "one", "question": "What is 1 + 1?", "answer": 2}, {"id": "two", "question": "2 + 2?", "answer": 4}]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["task=local", "task.path=mine.jsonl", "method=snapkv", "compression.tokens=40", "num_draws=2"]
    words += ["max_tokens=24", "model=qwen3_4b", f"model.path={standin}", "model.dtype=float32", "device=cpu"]
    words += ["method.budget.recent=8", "method.budget.interval=4", "output_dir=runs/a/b"]
    monkeypatch.setattr(sys, "argv", ["kvarena", *words])
    evaluate.main()
    return RunFolder(path=tmp_path / "runs/a/b")


@needs_inspect
def test_its_own_library_reads_it(run, capsys):
    from inspect_ai.log import read_eval_log

    records = sorted(run.records(), key=lambda record: record.key)
    records[0] = type(records[0])(**vars(records[0]) | {"score": 1.0, "answer": "2"})
    records[1] = type(records[1])(**vars(records[1]) | {"score": None, "note": "timeout"})
    run.rewrite(records)
    assert main(["runs", "logs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "logs/a-b.eval: 4 of 4 samples"
    log = read_eval_log("logs/a-b.eval")
    assert (log.status, log.eval.task, log.eval.model, log.eval.solver) == ("success", "local", "qwen3_4b", "snapkv")
    assert (log.eval.config.epochs, log.eval.dataset.sample_ids) == (2, ["one", "two"])
    assert log.eval.model_generate_config.temperature == run.run()["config"]["sampler"]["temperature"]
    assert log.eval.task_args == {"method": "snapkv", "cache": "plain", "ratio": 204.8, "tokens": 40}
    samples = {(sample.id, sample.epoch): sample for sample in log.samples}
    assert sorted(samples) == [("one", 1), ("one", 2), ("two", 1), ("two", 2)]
    first, ungraded = samples["one", 1], samples["one", 2]
    assert "What is 1 + 1?" in first.input
    assert (first.target, first.output.completion) == ("2", records[0].completion)
    assert (first.scores["score"].value, first.scores["score"].answer) == (1.0, "2")
    assert first.output.usage.output_tokens == records[0].num_tokens
    assert first.metadata["num_evictions"] == records[0].num_evictions > 0
    assert ungraded.scores == {}
    (score,) = log.results.scores
    assert score.metrics["accuracy"].value == 0.5  # one: 1 of 1 that was graded; two: none of 2
    assert (score.scored_samples, score.unscored_samples) == (3, 1)


@needs_inspect
def test_what_is_not_finished_says_so(run):
    from inspect_ai.log import read_eval_log

    run.rewrite(run.records()[:3])
    assert main(["runs/a/b", "logs"]) == 0
    log = read_eval_log("logs/b.eval")
    assert (log.status, log.results.total_samples, log.results.completed_samples) == ("cancelled", 4, 3)


@needs_inspect
def test_an_older_run_has_its_questions_of_its_task(run):
    from inspect_ai.log import read_eval_log

    (run.path / "questions.jsonl").unlink()
    assert main(["runs", "logs"]) == 0
    assert "What is 1 + 1?" in read_eval_log("logs/a-b.eval").samples[0].input


@needs_inspect
def test_a_run_whose_questions_are_gone_is_one_line(run, tmp_path, capsys):
    (tmp_path / "mine.jsonl").unlink()
    (run.path / "questions.jsonl").unlink()
    assert main(["runs", "logs"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "its task cannot be built anew: task.path=mine.jsonl: no such file" in error


def test_without_the_extra_it_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kvarena.runners.export.command.find_spec", lambda name: None)
    assert main([str(tmp_path), str(tmp_path / "logs")]) == 2
    assert capsys.readouterr().err == "kvarena-export: needs inspect_ai: pip install 'kvarena[inspect]'\n"


def test_a_folder_without_runs_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kvarena.runners.export.command.find_spec", lambda name: object())
    assert main([str(tmp_path), str(tmp_path / "logs")]) == 2
    assert f"RUNS_DIR={tmp_path}: no run.json below it" in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()
