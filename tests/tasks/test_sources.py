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
        ('{"id": 1, "question": " ", "target": "t"}', "samples.jsonl:1: the question is empty"),
        ('{"id": "", "question": "q", "target": "t"}', "samples.jsonl:1: the id is empty"),
        ('{"id": null, "question": "q", "target": "t"}', "samples.jsonl:1: id: no text or number but None"),
        ('{"id": 1, "question": "q", "target": null}', "samples.jsonl:1: target: no text or number but None"),
        ('{"id": 1, "question": "q", "target": {"a": 1}}', "samples.jsonl:1: target: no text or number but {'a': 1}"),
        ('{"id": 1, "question": "q", "target": true}', "samples.jsonl:1: target: no text or number but True"),
        ('{"id": 1, "question": "q", "target": NaN}', r"samples.jsonl:1: no JSON \(NaN is no JSON number"),
        ('{"id": 1, "question": "q", "target": "t", "meta": 5}', "samples.jsonl:1: meta is no JSON object but 5"),
        ('{"id": 1, "question": "q", "target": "t", "meta": null}', "samples.jsonl:1: meta is no JSON object but None"),
        ('{"id": 1, "question": "\\ud800", "target": "t"}', "samples.jsonl:1: half of a surrogate pair"),
        ('{"id": ' + "1" * 5000 + ', "question": "q", "target": "t"}', "samples.jsonl:1: no JSON"),
        ("[" * 100_000, "samples.jsonl:1: no JSON"),
    ],
)
def test_a_bad_file_is_refused(file, text, message):
    with pytest.raises(ValueError, match=message):
        read_jsonl(file(text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "samples.jsonl").write_bytes(b'{"id": 1, "question": "\xff"}\n')
    with pytest.raises(ValueError, match=r"samples.jsonl:1: not UTF-8"):
        read_jsonl(str(tmp_path / "samples.jsonl"))


def test_a_missing_file_is_refused():
    with pytest.raises(ValueError, match=r"task.path=nowhere.jsonl: no such file"):
        read_jsonl("nowhere.jsonl")
