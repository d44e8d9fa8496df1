import pytest
from kvarena.tasks.rows import Columns
from kvarena.tasks.sources import read_jsonl


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "samples.jsonl"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_samples_are_read_in_order(file):
    first = '{"id": 7, "question": "1+1", "target": 2, "meta": {"a": [1]}}'
    second = '{"id": "b", "question": "a\u2028b", "target": "t"}'
    one, other = read_jsonl(file(f"{first}\n\n{second}\n"))
    assert (one.id, one.question, one.target, one.meta) == ("7", "1+1", "2", {"a": [1]})
    assert (other.id, other.question, other.target, other.meta) == ("b", "a\u2028b", "t", {})


def test_rows_without_an_id_are_counted(file):
    samples = read_jsonl(file('{"question": "q", "answer": "a"}\n' * 2), Columns(target="answer"))
    assert [sample.id for sample in samples] == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1, "question": "q"}\n', "samples.jsonl:1: target missing; there are id, question"),
        ("{}\n", "samples.jsonl:1: question missing; there are no fields"),
        ('{"id": 1, "question": "q", "target": "t"}\n{"id"\n', "samples.jsonl:2: no JSON"),
        ('{"id": 1, "question": "q", "target": "t"}\n[1]\n', "samples.jsonl:2: no JSON object"),
        ('{"id": 1, "question": "q", "target": "t"}\n\n' * 2, "samples.jsonl:3: id 1 stands there more than once"),
        ('{"id": 1, "question": ["q"], "target": "t"}\n', r"samples.jsonl:1: question: no text but \['q'\]"),
        ("\n", "no sample in it"),
    ],
)
def test_a_bad_file_is_refused(file, text, message):
    with pytest.raises(ValueError, match=message):
        read_jsonl(file(text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "samples.jsonl").write_bytes(b'{"id": 1, "question": "\xff"}\n')
    with pytest.raises(ValueError, match="utf-8"):
        read_jsonl(str(tmp_path / "samples.jsonl"))


def test_a_missing_file_is_refused():
    with pytest.raises(ValueError, match=r"task.path=nowhere.jsonl: no such file"):
        read_jsonl("nowhere.jsonl")
