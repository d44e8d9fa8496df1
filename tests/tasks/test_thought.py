"""A thought that has not ended says nothing, whoever opened it and whoever judges."""

import pytest
from kvarena.tasks.graders.choice import ChoiceGrader
from kvarena.tasks.graders.code import CodeGrader
from kvarena.tasks.graders.exact import ExactGrader
from kvarena.tasks.graders.math import MathGrader
from kvarena.tasks.sample import Sample
from kvarena.tasks.task import Grade, Task
from kvarena.tasks.thought import UNFINISHED, after_thought, unfinished

LOOP = r"So \boxed{7}. Wait. So \boxed{7}. Wait."
SAMPLE = Sample(id="a", question="q", target="7")


@pytest.mark.parametrize(
    ("text", "ends", "tail"),
    [
        ("<think>a</think>b", True, "b"),
        ("a</think>b", True, "b"),
        ("a</think>b</think>c", True, "c"),
        ("no thought", True, "no thought"),
        ("<think>a", False, ""),
        ("<think>a</think>b<think>c", False, ""),
        ("<think>a<think>b</think>c", True, "c"),
        ("", True, ""),
    ],
)
def test_where_a_thought_ends(text, ends, tail):
    assert (unfinished(text), after_thought(text)) == (not ends, tail)


@pytest.mark.parametrize(
    ("grader", "completion", "target"),
    [
        (MathGrader(), f"<think>{LOOP}", "7"),
        (ChoiceGrader(), r"<think> \boxed{B}", "B"),
        (ExactGrader(), "<think> Paris", "Paris"),
        (ExactGrader(), r"<think> \boxed{Paris}", "Paris"),
        (MathGrader(), rf"<think>a</think>\boxed{{7}}<think>{LOOP}", "7"),
    ],
)
def test_graders_take_nothing_from_it(grader, completion, target):
    grade = grader(completion, target)
    assert (grade.score, grade.answer, grade.note) == (0.0, "", UNFINISHED)
    assert UNFINISHED == "thought not ended"
    assert grader(completion.replace("<think>", "</think>"), target).score == 1.0


def test_a_program_in_it_is_never_run():
    meta = {"public_test_cases": '[{"input": "", "output": "1"}]'}
    grade = CodeGrader()("<think>\n```python\nprint(1)\n```\n", "", meta)
    assert (grade.score, grade.answer, grade.note) == (0.0, "", UNFINISHED)


def task(grader) -> Task:
    return Task(name="t", samples=[SAMPLE], grader=grader, dense_length=10, max_tokens=10)


@pytest.mark.parametrize(
    ("completion", "opened", "score", "anywhere"),
    [
        (f"<think>{LOOP}", False, 0.0, 1.0),
        (LOOP, True, 0.0, 1.0),
        (LOOP, False, 1.0, 1.0),  # no thought: all of it counts
        (r"a</think>\boxed{7}", True, 1.0, 1.0),
        (r"<think>\boxed{7}</think>\boxed{8}", False, 0.0, 0.0),
        (r"<think>\boxed{7}</think>It is 7.", False, 0.0, 0.0),
        (r"<think>\boxed{8}", False, 0.0, 0.0),
    ],
)
def test_what_vase_would_have_graded_stands_beside_the_score(completion, opened, score, anywhere):
    grade = task(MathGrader()).grade(completion, SAMPLE, opened)
    assert (grade.score, grade.score_unfinished) == (score, anywhere)
    assert (grade.note == UNFINISHED) == (score != anywhere or completion.startswith(r"<think>\boxed{8}"))


def test_a_grader_of_ones_own_need_not_know_of_thoughts():
    def seven(completion, target, meta) -> Grade:
        return Grade(score=float("7" in completion), answer=completion)

    grade = task(seven).grade("<think> 7", SAMPLE)
    assert (grade.score, grade.answer, grade.note, grade.score_unfinished) == (0.0, "", UNFINISHED, 1.0)


def test_what_cannot_be_judged_at_all_stays_ungraded():
    grade = task(CodeGrader()).grade("<think> a", Sample(id="a", question="q", target="", meta={}))
    assert (grade.score, grade.score_unfinished) == (None, None)


@pytest.mark.parametrize("grader", [{}, None, "exact", lambda completion: None])
def test_what_is_no_grader_is_refused(grader):
    with pytest.raises(ValueError, match=r"grader: builtins\.\w+ is none, it cannot be called with completion, target"):
        task(grader)


def test_a_grader_that_gives_no_grade_is_refused():
    with pytest.raises(ValueError, match=r"grader: function gives float, not a Grade"):
        task(lambda completion, target, meta: 1.0).grade("7", SAMPLE)
