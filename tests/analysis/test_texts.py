import re
from dataclasses import asdict, replace

from kvarena.analysis import texts
from kvarena.analysis.load import load
from kvarena.analysis.texts import characters, leaves, loop_character, reader_facts, tokens_of, units, write_texts
from kvarena.runners.record import append_line


def test_scripts_hold_several_completions_and_names_say_which(write, tmp_path, record, monkeypatch):
    """In the order in which they ended, named as they are sorted; a script ends with the one that fills it."""
    monkeypatch.setattr(texts, "SCRIPT", 1000)
    write("a", [record(sample=name, completion=name * 500) for name in "cbad"], samples=4)
    (run,) = load(tmp_path)
    names = write_texts(run, tmp_path / "texts/7", {})
    assert names == ["7/1-0", "7/0-1", "7/0-2", "7/1-3"]
    for script, held in (("0", ["0-2", "0-1"]), ("1", ["1-0", "1-3"])):
        calls = (tmp_path / f"texts/7/{script}.js").read_text()
        assert re.findall(r'receive\("7/([-0-9]+)"', calls) == held
    assert not (tmp_path / "texts/7/2.js").exists()
    assert f'"completion":"{"b" * 500}"' in (tmp_path / "texts/7/0.js").read_text()


def test_what_a_run_writes_after_it_was_loaded_waits_for_the_next_report(write, tmp_path, record):
    write("a", [record(sample="s0")], samples=2)
    (run,) = load(tmp_path)
    assert len(run.outcomes) == 1  # read once
    append_line(tmp_path / "a/records.jsonl", asdict(record(sample="s1")))
    assert len(write_texts(run, tmp_path / "texts", {})) == 1


def test_a_text_and_its_marks(record):
    row = record(completion="0123456789" * 6, num_tokens=60, prompt_tokens=20, num_evictions=6, score=float("nan"))
    found = reader_facts(row, {"tokens": 24, "interval": 8}, {})
    assert found["evictions"] == [[13, 13], [21, 21], [29, 29], [37, 37], [45, 45], [53, 53]]
    assert (found["score"], found["budget"], found["loop_character"]) == (None, 24, None)


def test_marks_stand_before_words(record):
    row = record(completion="seven letters at least", num_tokens=22)
    assert characters(row, [10]) == [6]  # before "letters"


def test_where_a_loop_begins_in_the_text(record):
    row = record(completion="a start at" + " go on" * 20, num_tokens=23, loop_onset=3, loop_period=2)
    assert loop_character(row) == len("a start at")
    assert loop_character(record(completion="anything", loop_onset=3, loop_character=5)) == 5
    assert loop_character(record(completion="0123456789", num_tokens=100, loop_onset=50)) == 5  # in proportion


def test_places_are_counted_as_a_browser_does():
    assert units("abc", 2) == 2
    assert units("a\U0001f600b", 2) == 3
    assert units("aéb", 2) == 2


def test_where_a_completion_leaves_dense(write, tmp_path, record):
    write("dense", [record(token_ids=[1, 2, 3]), record(sample="s1", token_ids=[])], samples=2)
    (run,) = load(tmp_path)
    dense = tokens_of(run)
    for ids, token in (([1, 2, 3], -1), ([1, 5, 3], 1), ([1, 2], 2), ([1, 2, 3, 4], 3), ([], None)):
        assert leaves(record(token_ids=ids), dense) == token
    for other in (record(sample="s1"), record(sample="s2"), record(draw=1)):  # what dense has not written is not known
        assert leaves(other, dense) is None
    assert reader_facts(replace(record(), token_ids=[1, 9]), {}, dense)["leaves"] == 1
