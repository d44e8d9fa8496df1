import base64
import json
import pickle
import zlib

import pytest
from kvarena.tasks.livecodebench import LiveCodeBench, decode_tests, prompt

ROW = {
    "question_content": "Double a number.",
    "question_id": "abc1",
    "starter_code": "",
    "difficulty": "medium",
    "public_test_cases": json.dumps([{"input": "1\n", "output": "2\n", "testtype": "stdin"}]),
    "private_test_cases": json.dumps([{"input": "3\n", "output": "6\n", "testtype": "stdin"}]),
    "metadata": "{}",
}


def packed(value) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def test_a_row_of_the_release():
    sample = LiveCodeBench()(ROW, 0)
    assert (sample.id, sample.target) == ("abc1", "")
    assert sample.question.startswith("You will be given a question")
    assert "Question: Double a number.\n\nRead the inputs from stdin" in sample.question
    assert decode_tests(sample.meta) == ([("1\n", "2\n"), ("3\n", "6\n")], "")


def test_other_difficulties_are_left_out():
    hard = ROW | {"difficulty": "hard"}
    assert LiveCodeBench()(hard, 0) is None
    assert LiveCodeBench(difficulty="hard")(hard, 0).id == "abc1"
    assert LiveCodeBench(difficulty=None)(hard, 0).id == "abc1"


def test_packed_tests_and_functions_are_decoded():
    tests = [{"input": "[1]", "output": "1", "testtype": "functional"}]
    meta = {"private_test_cases": packed(json.dumps(tests)), "metadata": json.dumps({"func_name": "f"})}
    assert decode_tests(meta) == ([("[1]", "1")], "f")


def test_a_pickle_that_would_run_something_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with pytest.raises(ValueError, match=r"tests cannot be read: private tests ask for _?io\.open"):
        decode_tests({"private_test_cases": packed(Trap())})
    assert not list(tmp_path.iterdir())


def test_stored_prompts_are_those_that_we_make(data):
    """Question and starter code are cut out of every stored prompt; the prompt made of them is the stored one."""
    with open(data("livecodebench_prompts"), encoding="utf-8") as file:
        prompts = [json.loads(line)["prompt"] for line in file]
    opening, reading = prompt("\0", "").split("\0")
    _, before, after = prompt("\0", "\1").replace("\1", "\0").split("\0")
    for stored in prompts:
        if stored.endswith(reading):
            assert stored == prompt(stored[len(opening) : -len(reading)], "")
        else:
            question, starter = stored[len(opening) : -len(after)].rsplit(before, 1)
            assert stored == prompt(question, starter)
    assert sum(stored.endswith(reading) for stored in prompts) == 176
