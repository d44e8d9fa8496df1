"""Problems of our own in the release's encoding, and programs that would rather be paid than work."""

import base64
import json
import pickle
import zlib

import pytest
from kvarena.tasks.graders.code import CodeGrader, same_output
from kvarena.tasks.sandbox import Sandbox


def encode(tests: list[dict]) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def problem(public: list[tuple[str, str]], private: list[tuple[str, str]], function: str = "") -> dict:
    kind = "functional" if function else "stdin"
    tests = [[{"input": i, "output": o, "testtype": kind} for i, o in part] for part in (public, private)]
    metadata = json.dumps({"func_name": function} if function else {})
    return {"public_test_cases": json.dumps(tests[0]), "private_test_cases": encode(tests[1]), "metadata": metadata}


DOUBLE = problem([("1\n", "2\n")], [("5\n", "10\n"), ("-3\n", "-6\n")])
PAIRS = problem([("[1, 2]\n3", "[4, 5]")], [("[]\n1", "[]")], function="shift")


def block(program: str) -> str:
    return f"<think>```python\nprint('a draft')\n```</think>Here it is.\n```python\n{program}\n```\nDone."


@pytest.fixture(scope="module")
def grade(sandbox):
    """grade(program, meta)"""
    grader = CodeGrader(sandbox=sandbox)
    return lambda program, meta=DOUBLE: grader(block(program), "", meta)


def test_a_right_program_passes_every_test(grade):
    verdict = grade("print(int(input()) * 2)")
    assert (verdict.score, verdict.note) == (1.0, "")
    assert verdict.answer == "print(int(input()) * 2)\n"


@pytest.mark.parametrize(
    ("program", "note"),
    [
        ("print(2)", "test 2 of 3: wrong output"),
        ("print(abs(int(input())) * 2)", "test 3 of 3: wrong output"),
        ("print(int(input()) * 2); raise KeyError('x')", "test 1 of 3: exit code 1: KeyError: 'x'"),
        ("print('x' * 2_000_000)", "test 1 of 3: more than 1 MB of output"),
        ("", "no closed block of code"),
    ],
)
def test_the_first_failing_test_is_named(grade, program, note):
    verdict = grade(program)
    if not program:
        verdict = CodeGrader()("I cannot do it. ```python\nprint(", "", DOUBLE)
    assert (verdict.score, verdict.note) == (0.0, note)


def test_too_slow_is_wrong(grade):
    assert grade("n = int(input())\nprint(2 * n)\nwhile n == 5: pass").note == "test 2 of 3: timeout"


def test_functions_are_called(grade):
    right = "class Solution:\n    def shift(self, values: List[int], by: int) -> List[int]:\n"
    assert grade(f"{right}        return tuple(value + by for value in values)", PAIRS).score == 1.0
    assert grade(f"{right}        return [value + 3 for value in values] or None", PAIRS).note == (
        "test 2 of 2: wrong result"
    )
    assert grade(f"{right}        return {{1, 2}}", PAIRS).note == "test 1 of 2: wrong result"
    assert grade("def other(): pass", PAIRS).note.startswith("test 1 of 2: exit code 1: AttributeError")


def test_a_program_in_a_list_is_no_deeper(grade, sandbox):
    completion = "1. So:\n\n    ```python\n    n = int(input())\n    print(2 * n)\n    ```\n"
    assert CodeGrader(sandbox=sandbox)(completion, "", DOUBLE).score == 1.0


def test_results_are_compared_as_the_release_compares(grade):
    assert grade("import numpy as np\ndef shift(a, b): return [np.int64(v + b) for v in a]", PAIRS).score == 1.0
    assert grade("def shift(a, b): return tuple(float(v + b) for v in a)", PAIRS).score == 1.0
    nested = problem([("1", "[[1, 2]]")], [], function="f")
    assert grade("def f(a): return [[1, 2]]", nested).score == 1.0
    assert grade("def f(a): return [(1, 2)]", nested).note == "test 1 of 1: wrong result"
    long = problem([("5000", "1" + "0" * 5000)], [], function="f")
    assert grade("def f(n): return 10**n", long).score == 1.0
    assert grade("def f(n): return 10**n + 1", long).note == "test 1 of 1: wrong result"


def test_a_program_may_print_as_many_digits_as_in_the_release(grade):
    long = problem([("5000\n", "1" + "0" * 5000)], [])
    assert grade("print(10 ** int(input()))", long).score == 1.0


@pytest.mark.parametrize(
    ("program", "note"),
    [
        ("import os; os._exit(0)", "test 1 of 3: wrong output"),
        ("raise SystemExit", "test 1 of 3: wrong output"),
        ("import sys; sys.exit(0)", "test 1 of 3: wrong output"),
    ],
)
def test_leaving_early_passes_no_test(grade, program, note):
    assert grade(program).note == note
    assert grade(program, PAIRS).note == "test 1 of 2: no result"


@pytest.mark.parametrize("text", ["'[' * 500_000", "'9' * 900_000", "'{'", "'NaN'"])
def test_a_result_that_is_no_good_json_is_wrong(grade, text):
    program = f"import os\nos.write(3, ({text}).encode())\nos._exit(0)\ndef shift(a, b): pass"
    assert grade(program, PAIRS).note in ("test 1 of 2: no result", "test 1 of 2: wrong result")
    assert grade(f"print({text})").note == "test 1 of 3: wrong output"


def test_the_checker_is_out_of_reach(grade):
    program = """
import builtins, decimal, json
json.loads = json.dumps = builtins.len = lambda *_, **__: '2'
decimal.Decimal = builtins.str = lambda _: 2
"""
    assert grade(program).note == "test 1 of 3: wrong output"
    program = "import json\njson.loads = json.dumps = lambda *_, **__: '[4, 5]'\ndef shift(a, b): return 0"
    assert grade(program, PAIRS).note == "test 2 of 2: wrong result"
    program = "class Any(list):\n    def __eq__(self, other): return True\ndef shift(a, b): return Any()"
    assert grade(program, PAIRS).note == "test 1 of 2: wrong result"


def test_expected_outputs_cannot_be_found(grade):
    program = """
import os, sys
seen = str(dict(os.environ)) + str(sys.argv)
for folder in ('/', '/tmp', '/etc'):
    for file in os.scandir(folder):
        try: seen += open(file.path).read(1 << 16)
        except (OSError, UnicodeDecodeError): pass
frame = sys._getframe()
while frame:
    seen += str([value for value in frame.f_locals.values() if isinstance(value, (str, list, dict))][:20])
    frame = frame.f_back
print('driver.py' in seen, str(700_000 + 31_946) in seen)
"""
    assert grade(program, problem([("", "731946")], [])).note == "test 1 of 1: wrong output"
    assert grade(program, problem([("", "True False")], [])).score == 1.0


def test_rows_without_tests_stay_ungraded():
    verdict = CodeGrader()(block("print(1)"), "", {})
    assert (verdict.score, verdict.answer) == (None, "print(1)\n")
    assert verdict.note == "no tests: this problem cannot be graded"


@pytest.mark.parametrize("private", ["no base64", "aGk=", encode([{"input": "1"}]), "[1"])
def test_rows_with_broken_tests_stay_ungraded(private):
    verdict = CodeGrader()(block("print(1)"), "", {"private_test_cases": private})
    assert verdict.score is None
    assert verdict.note.startswith("error: tests cannot be read: ")


def test_without_bubblewrap_rows_stay_ungraded_and_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    program = f"open('{tmp_path}/ran', 'w')\nprint(int(input()) * 2)"
    verdict = CodeGrader(sandbox=Sandbox(cpu_s=5))(block(program), "", DOUBLE)
    assert (verdict.score, verdict.note) == (None, "grading code needs bubblewrap: apt-get install bubblewrap")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        (" 1 2 \n3\n\n", "1 2\n3", True),
        ("1.0 2.50", "1 2.5", True),
        ("1  2", "1 2", True),
        ("YES", "YES", True),
        ("yes", "YES", False),
        ("1 2 3", "1 2\n3", False),
        ("1", "1\n2", False),
        ("", "0", False),
        ("nan", "nan", True),
        ("a  b", "a b", False),
        ("a\u2028b", "a\u2028b", True),
        ("a\u2028b", "a\nb", False),
        ("1\x0c2", "1\n2", False),
        ("1\r\n2\r\n", "1\n2", True),
    ],
)
def test_same_output(output, expected, same):
    assert same_output(output, expected) is same


def test_settings_reach_the_sandbox():
    assert CodeGrader(sandbox=Sandbox(cpu_s=7)).sandbox.cpu_s == 7
