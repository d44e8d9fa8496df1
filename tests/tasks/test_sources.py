import pytest
from kvarena.tasks.sources import read_jsonl


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "samples.jsonl"
        path.write_text(text)
        return str(path)

    return write


def test_samples_are_read_in_order(file):
    first = '{"id": 7, "question": "1+1", "target": 2, "meta": {"a": [1]}}'
    second = '{"id": "b", "question": "q", "target": "t"}'
    one, other = read_jsonl(file(f"{first}\n\n{second}\n"))
    assert (one.id, one.question, one.target, one.meta) == ("7", "1+1", "2", {"a": [1]})
    assert (other.id, other.question, other.target, other.meta) == ("b", "q", "t", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id": 1, "question": "q"}\n', "samples.jsonl:1: target missing"),
        ('{"id": 1, "question": "q", "target": "t"}\n{"id"\n', "samples.jsonl:2: no JSON"),
        ('{"id": 1, "question": "q", "target": "t"}\n' * 2, "id 1 stands there more than once"),
        ("\n", "no sample in it"),
    ],
)
def test_a_bad_file_is_refused(file, text, message):
    with pytest.raises(ValueError, match=message):
        read_jsonl(file(text))


def test_a_missing_file_is_refused():
    with pytest.raises(ValueError, match=r"task.path=nowhere.jsonl: no such file"):
        read_jsonl("nowhere.jsonl")
