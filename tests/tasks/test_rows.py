import pytest
from kvarena.tasks.rows import Columns

ROW = {"key": 5, "problem": "1+1", "solution": "It is #### 2,000 ", "extra": {"a": 1}}


def test_columns_are_read_by_name():
    sample = Columns(id="key", question="problem", target="solution", after="####", meta="extra")(ROW, 9)
    assert (sample.id, sample.question, sample.target, sample.meta) == ("5", "1+1", "2,000", {"a": 1})


def test_a_row_without_an_id_is_called_by_its_place():
    assert Columns(question="problem", target="solution")(ROW, 9).id == "9"


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="question"):
        Columns()(ROW, 0)


def test_a_question_is_text():
    with pytest.raises(ValueError, match="key: no text but 5"):
        Columns(question="key", target="solution")(ROW, 0)
