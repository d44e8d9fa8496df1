"""Verdicts on pairs of answers, on real reference solutions, and on what no grader likes to see."""

import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import pytest
from kvarena.tasks.graders.equality import equal
from kvarena.tasks.graders.math import WORKERS, MathGrader
from kvarena.tasks.graders.notation import normalise

GRADER = MathGrader(seconds=8)


def score(answer: str, target: str) -> float | None:
    return GRADER(f"<think>\\boxed{{0}}</think>So \\boxed{{{answer}}}.", target).score


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("70", "70"),
        ("70", "70.0"),
        ("2,125", "2125"),
        (r"10,\!080", "10080"),
        (r"\frac{9 \sqrt{23}}{23}", r"9/\sqrt{23}"),
        (r"1\frac{4}{5}", "1.8"),
        (r"2^{25} \cdot 26!", "2^{25}26!"),
        (r"5\pi + 6\sqrt{3}", r"6\sqrt3+5\pi"),
        (r"\frac{-1+\sqrt{17}}{2}, \frac{-1-\sqrt{17}}{2}", r"\frac{-1-\sqrt{17}}{2}, \frac{-1+\sqrt{17}}{2}"),
        (r"\frac{-1+\sqrt{17}}{2}, \frac{-1-\sqrt{17}}{2}", r"\frac{-1\pm\sqrt{17}}{2}"),
        (r"3 \pm 2 \sqrt{2}", r"3-2\sqrt2, 3+2\sqrt2"),
        (r"\{1\pm\sqrt{5},-2\}", r"-2, 1+\sqrt5, 1-\sqrt5"),
        (r"\{1,2\}", r"\{2,1\}"),
        ("(3,4]", r"\left( 3, 4 \right]"),
        (r"(-\infty, 2) \cup (3, \infty)", r"(3,\infty)\cup(-\infty,2)"),
        (r"x \in [-2,7]", "[-2,7]"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)"),
        (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", r"\begin{pmatrix} -\frac13 \\ \frac23 \end{pmatrix}"),
        ("x=5", "5"),
        ("5x - 7y + 11z + 4 = 0", "-5x+7y-11z-4=0"),
        ("6r^2-4r-24", "2(3r^2-2r-12)"),
        (r"864 \mbox{ inches}^2", "864"),
        (r"5.4 \text{ cents}", "5.4"),
        (r"90^\circ", "90"),
        (r"\$18.90", "18.9"),
        ("50", r"50\%"),
        (r"50\%", "0.5"),
        (r"50\%", "50"),
        (r"\text{Evelyn}", "Evelyn"),
        (r"\text{(C)}", "C"),
        ("52_8", "52_{8}"),
        ("52_8", "52"),
    ],
)
def test_equal_answers(target, answer):
    assert score(answer, target) == 1.0


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("70", "71"),
        ("3,4", "34"),
        ("3,4", "3"),
        (r"\frac{1}{3}", "0.333"),
        ("(3,4]", "(3,4)"),
        ("(1,2)", "(2,1)"),
        (r"(0,9) \cup (9,36)", "(0,36)"),
        (r"\{1,2\}", r"\{1,2,3\}"),
        (r"3 \pm 2 \sqrt{2}", r"3+2\sqrt2"),
        (r"50\%", r"5000\%"),
        ("50", "0.5"),
        ("52_8", "52_9"),
        (r"\text{Evelyn}", r"\text{Navin}"),
        (r"\text{(C)}", "B"),
        (r"\cos x", r"\sin x"),
        ("10", r"10 \text{ or } 12"),
        ("7", "((((((("),
        ("7", "}{"),
        ("7", "(10^9)!"),
    ],
)
def test_different_answers(target, answer):
    assert score(answer, target) == 0.0


def test_what_is_read_stands_in_the_grade():
    grade = GRADER(r"\boxed{1} \boxed{0.50}", r"\frac12")
    assert (grade.score, grade.answer, grade.note, grade.second_opinion) == (1.0, "0.50", "", 0.0)


@pytest.mark.parametrize(
    ("completion", "note"),
    [
        ("", r"no \boxed answer"),
        (r"<think>\boxed{7}</think>It is 7.", r"no \boxed answer"),
        (r"\boxed{7} put it within \boxed{}", r"the last \boxed is empty"),
        (r"\boxed{7} \boxed{7", r"the last \boxed is not closed"),
        (b"\\boxed{7\xe2\x82".decode("utf-8", "replace"), r"the last \boxed is not closed"),
        (r"\boxed{" + "7" * 1_000_000 + "}", "the answer is longer than 2000 characters"),
    ],
    ids=["empty", "thought", "instruction", "cut", "cut character", "megabyte"],
)
def test_no_answer_is_wrong(completion, note):
    grade = GRADER(completion, "7")
    assert (grade.score, grade.note, grade.second_opinion) == (0.0, note, 0.0)


@pytest.mark.parametrize("answer", ["9^{9^{9^{9}}}", "(" * 900 + "3" + ")" * 900])
def test_what_takes_too_long_is_ungraded_in_time(answer):
    start = time.perf_counter()
    grade = MathGrader(seconds=0.5)(f"\\boxed{{{answer}}}", "7")
    assert (grade.score, grade.note) == (None, "timeout")
    assert time.perf_counter() - start < 6
    assert score("14/2", "7") == 1.0


def test_the_clock_starts_in_the_worker():
    """A worker that takes longer to start than a comparison may take is no timeout."""
    WORKERS.worker = None
    assert MathGrader(seconds=0.3)(r"\boxed{14/2}", "7").score == 1.0


def test_a_worker_that_dies_is_an_error_and_is_replaced():
    assert score("14/2", "7") == 1.0
    os.kill(WORKERS.worker.process.pid, signal.SIGKILL)
    WORKERS.worker.process.wait()
    grade = GRADER(r"\boxed{14/2}", "7")
    assert (grade.score, grade.note) == (None, "error: the comparison ended with -9")
    assert score("14/2", "7") == 1.0


def test_files_in_the_working_directory_are_not_imported(monkeypatch, tmp_path):
    for name in ("random", "sympy", "json", "math_verify", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    WORKERS.worker = None
    assert GRADER(r"\boxed{14/2}", "7").score == 1.0
    WORKERS.worker = None


def test_a_worker_that_cannot_start_says_why(monkeypatch, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named sympy' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/python")
    WORKERS.worker = None
    grade = GRADER(r"\boxed{14/2}", "7")
    assert grade.score is None
    assert grade.note == "error: the comparison ended with 1: ModuleNotFoundError: No module named sympy"


def test_a_thread_takes_its_worker_along():
    workers = []
    thread = threading.Thread(target=lambda: (score("14/2", "7"), workers.append(WORKERS.worker.process)))
    thread.start()
    thread.join()
    assert workers[0].wait(5) == -signal.SIGKILL


def test_garbage_is_wrong():
    start = time.perf_counter()
    for text in ("\\boxed{\N{SNOWMAN}\N{REPLACEMENT CHARACTER}\0}", "\\boxed{\\frac{}{}}", "\\boxed{\\\\}"):
        assert GRADER(text, "7").score == 0.0
    assert time.perf_counter() - start < 10


def test_a_wrong_limit_is_refused():
    with pytest.raises(ValueError, match=r"task\.grader\.seconds=0: use a positive number"):
        MathGrader(seconds=0)


@pytest.fixture(scope="module")
def math500(data):
    with open(data("math500"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_reference_solutions_are_right(math500):
    grades = [GRADER(row["solution"], row["answer"]) for row in math500]
    assert len(grades) == 500
    assert sum(grade.score == 1 for grade in grades) == 500
    assert sum(grade.second_opinion for grade in grades) == 500


@pytest.mark.parametrize(
    "form", ["{}", "{}.", r"\({}\)", r"\boldsymbol{{{}}}", "${}$", "**{}**", "{};", r"\text{{{}}}."]
)
def test_references_are_right_however_they_are_wrapped(math500, form):
    answers = [row["answer"] for row in math500]
    wrong = [answer for answer in answers if not GRADER(f"\\boxed{{{form.format(answer)}}}", answer).score]
    assert (len(answers), wrong) == (500, [])


@pytest.mark.parametrize("name", ["aime25", "aime26", "hmmt25"])
def test_references_of_contests_are_right_with_a_full_stop(data, name):
    with open(data(name), encoding="utf-8") as file:
        answers = [str(json.loads(line)["answer"]) for line in file]
    assert [answer for answer in answers if not GRADER(f"\\boxed{{{answer}.}}", answer).score] == []


def test_a_neighbours_answer_is_right_only_where_it_is_equal(math500):
    """Solution i against answer i + 1."""
    following = [*math500[1:], math500[0]]
    with ThreadPoolExecutor(2) as pool:
        grades = list(pool.map(lambda row, other: GRADER(row["solution"], other["answer"]), math500, following))
    assert [i for i, grade in enumerate(grades) if grade.score is None] == []
    right = {i: (math500[i]["answer"], following[i]["answer"]) for i, grade in enumerate(grades) if grade.score}
    assert right == {22: ("5", "x=5"), 186: ("7", "7"), 403: ("3", "3")}


@pytest.mark.slow
def test_of_all_references_only_those_are_equal_that_are(data):
    """Each with each; with integers, which have their value, only where their digits stand in it. What remains may be
    answered without its unit, its base or its variable."""
    golds = {}
    for name in ("aime25", "aime26", "hmmt25", "math500", "gpqa_diamond"):
        with open(data(name), encoding="utf-8") as file:
            golds |= {normalise(answer): answer for line in file if (answer := str(json.loads(line)["answer"]))}
    with open(data("gsm8k"), encoding="utf-8") as file:
        numbers = [json.loads(line)["answer"].rpartition("####")[2].strip() for line in file]
    golds |= {normalise(number): number for number in numbers}
    integers = {text for text in golds if text.isdigit()}
    assert (len(golds), len(integers), len({int(text) for text in integers})) == (641, 433, 433)
    others = golds.keys() - integers
    pairs = [*combinations(sorted(others), 2)]
    pairs += [pair for text in others for n in integers if n in text for pair in ((n, text), (text, n))]
    right = {(golds[target], golds[answer]) for target, answer in pairs if equal(target, answer)}
    degrees = {
        (number, rf"{number}^\circ") for number in ("30", "36", "55", "75", "76", "90", "106", "120", "145", "180")
    }
    bare = degrees | {("36", r"\$36"), ("15", r"15\mbox{ cm}^2"), ("5", "x=5")}
    assert right == bare | {(target, answer) for answer, target in bare} | {
        ("40_9", "40"),
        ("52_8", "52"),
        ("204_5", "204"),
        (r"36^\circ", "40_9"),  # its value
        ("(-2,1)", "-2,1"),
        ("-2,1", "1,-2"),
    }


def test_references_of_gsm8k_are_right(data):
    with open(data("gsm8k"), encoding="utf-8") as file:
        numbers = [json.loads(line)["answer"].rpartition("####")[2].strip() for line in file]
    boxed = [GRADER(f"\\boxed{{{number}}}", number).score for number in numbers]
    assert (len(boxed), sum(boxed)) == (1319, 1319)
    without_commas = [GRADER(f"\\boxed{{{n.replace(',', '')}}}", n).score for n in numbers if "," in n]
    assert without_commas == [1.0] * 14
