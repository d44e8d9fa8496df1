import pytest
from kvarena.runners.record import read_questions, write_questions


def test_what_was_asked_is_read_as_it_was_written(tmp_path):
    assert read_questions(tmp_path) == {}
    asked = {"a/b": "Größer?\nJa.\u2028", "c": ""}
    write_questions(tmp_path, {"old": "?"})
    write_questions(tmp_path, asked)
    assert read_questions(tmp_path) == asked
    assert len((tmp_path / "questions.jsonl").read_bytes().split(b"\n")) == 3


@pytest.mark.parametrize("line", ["{", '{"sample": "a"}', '{"sample": "a", "question": 1}', "[]", ""])
def test_a_line_that_is_no_question_is_refused_by_name(tmp_path, line):
    (tmp_path / "questions.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"questions\.jsonl holds a line that is no question .*: delete the file"):
        read_questions(tmp_path)
