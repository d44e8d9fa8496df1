import pytest
from kvarena.tasks.graders.choice import ChoiceGrader


@pytest.mark.parametrize(
    "box", ["B", "b", "(B)", "B.", "B)", r"\text{B}", r"\mathbf{(B)}", "B. 10^{-8} ev", "Option B", "$B$", " B "]
)
def test_ways_to_choose(box):
    grade = ChoiceGrader()(rf"<think>\boxed{{A}}</think>It is \boxed{{{box}}}", "B")
    assert (grade.score, grade.answer, grade.note) == (1.0, "B", "")


def test_another_letter_is_wrong():
    grade = ChoiceGrader()(r"\boxed{C}", "B")
    assert (grade.score, grade.answer, grade.note, grade.second_opinion) == (0.0, "C", "", 0.0)


@pytest.mark.parametrize("box", ["A and B", "AB", "Boron", "10^{-8}", "A, B", "1"])
def test_no_letter_is_wrong(box):
    grade = ChoiceGrader()(rf"\boxed{{{box}}}", "B")
    assert (grade.score, grade.note) == (0.0, f"no letter: {box!r}")


def test_a_letter_in_the_thought_or_without_a_box_is_none():
    assert ChoiceGrader()(r"<think>\boxed{B}</think>The answer is B.", "B").note == r"no \boxed answer"


def test_the_second_opinion_is_stricter():
    grade = ChoiceGrader()(r"\boxed{B. 10^{-8} ev}", "B")
    assert (grade.score, grade.second_opinion) == (1.0, 0.0)
