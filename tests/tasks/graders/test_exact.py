import pytest
from kvarena.tasks.graders.exact import ExactGrader


@pytest.mark.parametrize(
    ("completion", "score", "answer", "note", "second"),
    [
        (r"<think>Rome</think>It is \boxed{Paris}", 1.0, "Paris", "", 1.0),
        ("<think>Rome</think> Paris\n", 1.0, "Paris", "", 1.0),
        (r"\boxed{paris}", 0.0, "paris", "", 1.0),
        (r"\boxed{Rome}", 0.0, "Rome", "", 0.0),
        (r"Paris \boxed{", 0.0, "", r"the last \boxed is not closed", 0.0),
        ("", 0.0, "", "no answer", 0.0),
    ],
)
def test_exact(completion, score, answer, note, second):
    grade = ExactGrader()(completion, "Paris")
    assert (grade.score, grade.answer, grade.note, grade.second_opinion) == (score, answer, note, second)
