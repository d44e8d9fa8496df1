"""What is expected to be longest begins first, and says what it says in any order."""

import sys

import pytest
from kvarena.runners.evaluate import main
from kvarena.runners.generate import Request
from kvarena.runners.job.order import KNOWN, expected_lengths, longest_first, mean_lengths, remember_lengths
from kvarena.runners.record import RunFolder

SMALL = ["difficulty=easy", "engine.batch_size=2", "device=cpu", "num_samples=4", "max_tokens=80", "method=full"]
SMALL += ["levels.easy.min_chain=30", "levels.easy.max_chain=70"]


@pytest.fixture(autouse=True)
def nothing_known():
    KNOWN.clear()
    yield
    KNOWN.clear()


def test_the_longest_first_and_draws_together(record):
    lengths = {"a": (3, 5), "b": (9, 1), "c": (8, 8)}
    records = [
        record(sample=name, draw=i, num_tokens=length)
        for name, each in lengths.items()
        for i, length in enumerate(each)
    ]
    expected = mean_lengths(records)
    assert expected == {"a": 4.0, "b": 5.0, "c": 8.0}
    requests = [Request(name, draw, [1]) for name in ("a", "b", "new", "c") for draw in (0, 1)]
    order = [request.key for request in longest_first(requests, expected)]
    assert order == [(name, draw) for name in ("new", "c", "b", "a") for draw in (0, 1)]
    assert longest_first(requests, {}) == requests


def test_the_first_run_of_these_prompts_is_what_is_known(record):
    assert expected_lengths(None, "sha") == {}
    remember_lengths("sha", [record(sample="a", num_tokens=7)])
    remember_lengths("sha", [record(sample="a", num_tokens=9)])
    assert expected_lengths(None, "sha") == {"a": 7.0}
    assert expected_lengths(None, "other") == {}


def test_records_are_the_same_in_any_order(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*overrides):
        monkeypatch.setattr(sys, "argv", ["kvarena", *SMALL, *overrides])
        main()
        folder = RunFolder(path=tmp_path / overrides[0].removeprefix("output_dir="))
        return {record.sample: record.token_ids for record in folder.stream()}

    first = run("output_dir=first")
    assert list(first) != sorted(first, key=lambda name: -len(first[name]))
    KNOWN.clear()
    again = run("output_dir=again", "lengths=first")
    assert again == first
    two = sorted(first, key=lambda name: -len(first[name]))[:2]
    assert next(iter(again)) in two  # two rows: one of these ends before any other has begun
    with pytest.raises(SystemExit) as stop:
        run("output_dir=third", "lengths=nowhere")
    assert stop.value.code == 2
    assert "lengths=nowhere holds no run.json: give the folder of a run" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()
