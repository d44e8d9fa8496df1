"""The real tasks as they are configured: what is asked, how it is sampled, and what a ratio of 4 means."""

import base64
import json
import pickle
import zlib

import pytest
from kvarena.tasks.graders.choice import ChoiceGrader
from kvarena.tasks.graders.code import CodeGrader
from kvarena.tasks.graders.exact import ExactGrader
from kvarena.tasks.graders.math import MathGrader

BOXED = "\nPlease reason step by step, and put your final answer within \\boxed{}."
# name, file, samples, draws, tokens at ratio 4, grader, end of the question
TASKS = [
    ("aime25", "aime25", 30, 16, 4096, MathGrader, BOXED),
    ("aime26", "aime26", 30, 16, 4096, MathGrader, BOXED),
    ("hmmt25", "hmmt25", 60, 16, 4096, MathGrader, BOXED),
    ("math500", "math500", 500, 8, 1024, MathGrader, BOXED),
    ("gsm8k", "gsm8k", 1319, 8, 512, MathGrader, " Put your final answer within \\boxed{}."),
    ("gpqa_diamond", "gpqa_diamond", 198, 8, 2048, ChoiceGrader, "without any other text with \\boxed{} in the end."),
    ("livecodebench", "livecodebench_prompts", 383, 8, 2048, CodeGrader, "\n```\n\n"),
]
NAMES = [task[0] for task in TASKS]


@pytest.mark.parametrize(("name", "draws", "tokens", "grader"), [(t[0], *t[3:6]) for t in TASKS], ids=NAMES)
def test_settings(compose_task, name, draws, tokens, grader):
    config, task = compose_task(name)
    assert (task.name, type(task.grader)) == (name, grader)
    assert (config.num_draws, config.num_samples, config.max_tokens) == (draws, None, 32768)
    assert task.dense_length / 4 == tokens
    assert (config.sampler.temperature, config.sampler.top_p, config.sampler.top_k) == (0.6, 0.95, 20)


@pytest.mark.parametrize(("name", "file", "samples", "ending"), [(*t[:3], t[6]) for t in TASKS], ids=NAMES)
def test_a_local_copy_loads_as_it_is(compose_task, data, name, file, samples, ending):
    _, task = compose_task(name, f"task.path={data(file)}")
    assert len(task.samples) == samples
    assert all(task.prompt(sample).endswith(ending) for sample in task.samples)
    assert task.origin == {}


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_local_copies_holds_each_under_its_name(compose_task, tmp_path, name):
    row = {"id": "x", "problem": "1 + 1?", "question": "1 + 1?", "answer": "2", "unique_id": "x"}
    row |= {"prompt": "1 + 1?", "question_id": "x", "difficulty": "medium"}
    if name == "gpqa_diamond":
        row["question"] = "1 + 1?\nA. 1\nB. 2\nC. 3\nD. 4\n\nUse \\boxed{}."
        row["answer"] = "B"
    (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    _, task = compose_task(name, f"data_dir={tmp_path}")
    assert [sample.id for sample in task.samples] == ["x"]
    assert "1 + 1?" in task.prompt(task.samples[0])


@pytest.mark.parametrize("name", ["aime25", "aime26", "hmmt25", "math500", "gsm8k"])
def test_the_boxed_target_is_right(compose_task, data, name):
    _, task = compose_task(name, f"task.path={data(name)}")
    assert all(task.grader(f"\\boxed{{{sample.target}}}", sample.target).score == 1 for sample in task.samples)


def test_prompts_without_tests_are_ungraded(compose_task, data):
    _, task = compose_task("livecodebench", f"task.path={data('livecodebench_prompts')}")
    sample = task.samples[0]
    verdict = task.grader("```python\nprint(1)\n```", sample.target, sample.meta)
    assert (verdict.score, verdict.note) == (None, "no tests: this problem cannot be graded")


def test_rows_of_the_release_are_graded(compose_task, sandbox, tmp_path):
    private = base64.b64encode(zlib.compress(pickle.dumps(json.dumps([{"input": "4", "output": "8"}])))).decode()
    row = {
        "question_id": "x1",
        "question_content": "Double a number.",
        "starter_code": "",
        "difficulty": "medium",
        "public_test_cases": json.dumps([{"input": "1", "output": "2"}]),
        "private_test_cases": private,
        "metadata": "{}",
    }
    rows = [row, row | {"question_id": "x2", "difficulty": "hard"}]
    (tmp_path / "release.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, task = compose_task("livecodebench", f"task.path={tmp_path}/release.jsonl")
    (sample,) = task.samples
    right = task.grader("```python\nprint(2 * int(input()))\n```", sample.target, sample.meta)
    wrong = task.grader("```python\nprint(2)\n```", sample.target, sample.meta)
    assert (right.score, wrong.score, wrong.note) == (1.0, 0.0, "test 2 of 2: wrong output")


def test_all_can_be_overridden(compose_task):
    config, task = compose_task("aime25", "sampler=greedy", "num_draws=2", "max_tokens=100", "task.grader.seconds=3")
    assert (config.num_draws, config.max_tokens, task.grader.seconds) == (2, 100, 3)
    neutral = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "suppress_tokens": []}
    assert config.sampler == {"_target_": "kvarena.runners.sampler.Greedy"} | neutral


def test_a_task_of_ones_own(compose_task, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"question": "Capital of France?", "answer": "Paris", "key": "fr"}))
    exact = "task.grader._target_=kvarena.tasks.graders.exact.ExactGrader"
    _, task = compose_task("local", f"task.path={path}", exact, "task.reader.id=key")
    (sample,) = task.samples
    assert (sample.id, sample.target, type(task.grader)) == ("fr", "Paris", ExactGrader)
    assert task.prompt(sample).startswith("Capital of France?\nPlease reason")
