import pytest
from kvarena.tasks.graders.choice import ChoiceGrader

CHOOSE_B = [
    "B", "b", "(B)", "[B]", "B.", "B)", "B,", "B;", "B - its text", "B – its text", "B: its text", "B) its text",
    " B ", "$B$", "**B**", r"\(B\)", r"\text{B}", r"\text{B}\,", r"\text{B.}", r"\text{(B)}", r"\textrm{B}",
    r"\textbf{B.}", r"\mathrm{B}", r"\mathsf{B}", r"\mathbf{(B)}", r"\boldsymbol{B}", r"\underline{B}", r"{\bf B}",
    r"B\ ", r"\fbox{B}", "B. 10^{-8} ev", "B, 3 and 4", r"\text{B. } 10^{-8}", r"\text{B}: \text{foo}", "B (10 eV)",
    "B. (R)-4-isopropyl", "B. (E)-hex", "B. A ring opens", "Option B", "option (B).", "Answer: B",
    r"\text{The answer is B}", "The correct answer is (B)", r"\text{Choice B}", "B, because it is",
]  # fmt: skip
CHOOSE_NONE = [
    "(A) and (C)", "A and B", "A and B.", "A or C", "A & C", "A/C", "A, B", "A, B, C", "A; C", "A. B", "A-C", "A) B)",
    "AB", "(A)(C)", "(A), (B) and (C)", r"\text{A and C}", r"\text{A}, \text{C}", r"A\text{ and }C", r"\{A, C\}",
    "Option A and Option C", "The answer is A or C", "The answer is not C", "neither A nor B", "both B and C",
    "Boron", "10^{-8}", "1", "none",
]  # fmt: skip


@pytest.mark.parametrize("box", CHOOSE_B)
def test_ways_to_choose(box):
    grade = ChoiceGrader()(rf"<think>\boxed{{A}}</think>It is \boxed{{{box}}}", "B")
    assert (grade.score, grade.answer, grade.note) == (1.0, "B", "")


def test_another_letter_is_wrong():
    grade = ChoiceGrader()(r"\boxed{C}", "B")
    assert (grade.score, grade.answer, grade.note, grade.second_opinion) == (0.0, "C", "", 0.0)


@pytest.mark.parametrize("box", CHOOSE_NONE)
def test_no_letter_and_two_letters_are_wrong(box):
    grade = ChoiceGrader()(rf"\boxed{{{box}}}", "B")
    assert (grade.score, grade.note) == (0.0, f"no letter: {box!r}")


def test_a_letter_in_the_thought_or_without_a_box_is_none():
    assert ChoiceGrader()(r"<think>\boxed{B}</think>The answer is B.", "B").note == r"no \boxed answer"


def test_the_second_opinion_is_stricter():
    grade = ChoiceGrader()(r"\boxed{B. 10^{-8} ev}", "B")
    assert (grade.score, grade.second_opinion) == (1.0, 0.0)
