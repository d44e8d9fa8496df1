import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.tables import results

COLUMNS = [
    *["task", "difficulty", "model", "method", "ratio", "tokens", "samples", "draws"],
    *["accuracy", "accuracy_low", "accuracy_high", "loop_rate", "truncation_rate", "error_rate", "ungraded"],
    *["mean_length", "peak_slots", "mean_slots", "tokens_read", "evictions", "resident_bytes", "tokens_per_s"],
    *["complete", "note", "run"],
]


def only(folder):
    table = results(load(folder))
    assert len(table) == 1
    return table.iloc[0]


def test_every_number_of_a_row(write, tmp_path, record):
    records = [
        record(sample="a", score=1.0, num_tokens=100, peak_slots=140.0, mean_slots=100.0, num_evictions=2),
        record(sample="b", score=0.0, num_tokens=300, peak_slots=144.0, mean_slots=120.0, num_evictions=5),
        record(sample="c", score=0.0, stop="length", num_tokens=400, loop_onset=90, loop_period=7, resident_bytes=4000),
        record(sample="d", score=None, stop="error", num_tokens=0, num_evictions=0, tokens_read=10.0),
    ]
    write("a", records, samples=4, sessions=[(10.0, 500), (30.0, 300)])
    row = only(tmp_path)
    assert list(row.index) == COLUMNS
    assert row.accuracy == pytest.approx(1 / 3)
    assert (row.accuracy_low, row.accuracy_high) == (0.0, 1.0)
    assert (row.loop_rate, row.truncation_rate, row.error_rate, row.ungraded) == (0.25, 0.25, 0.25, 1)
    assert (row.mean_length, row.peak_slots, row.mean_slots, row.tokens_read) == (200.0, 144.0, 105.0, 70.0)
    assert (row.evictions, row.resident_bytes, row.tokens_per_s) == (2.25, 4000, 20.0)
    assert row.complete
    assert row.note == ""
    assert row.run == "a"


def test_several_draws(write, tmp_path, record):
    scores = {("a", 0): 1.0, ("a", 1): 0.0, ("b", 0): 1.0, ("b", 1): 1.0}
    write("a", [record(sample=s, draw=d, score=x) for (s, d), x in scores.items()], samples=2, draws=2)
    row = only(tmp_path)
    assert (row.samples, row.draws, row.accuracy, row.complete) == (2, 2, 0.75, True)


def test_dense_has_no_budget_and_is_never_flagged(write, tmp_path, record, dense):
    write("a", [record(num_evictions=0)], samples=1, **dense)
    row = only(tmp_path)
    assert pd.isna(row.tokens)
    assert (row.method, row.ratio, row.note) == ("full", 1.0, "")


def test_a_selection_is_never_flagged(write, tmp_path, record):
    write("a", [record(num_evictions=0)], samples=1, method="quest", evicts=False, selects=True)
    assert only(tmp_path).note == ""


def test_one_eviction_of_one_row_is_enough(write, tmp_path, record):
    write("a", [record(sample="a", num_evictions=0), record(sample="b", num_evictions=1)], samples=2)
    assert only(tmp_path).note == ""


def test_flags(write, tmp_path, record):
    write("a", [record(num_evictions=0)], samples=3, draws=2)
    row = only(tmp_path)
    assert row.note == "never evicted; incomplete 1/6"
    assert not row.complete
    assert pd.isna(row.tokens_per_s)


def test_a_run_without_records_is_a_row(write, tmp_path):
    write("a", [], samples=8)
    row = only(tmp_path)
    assert row.note == "incomplete 0/8"
    assert row.ungraded == 0
    assert row[["accuracy", "accuracy_low", "loop_rate", "mean_length", "peak_slots", "resident_bytes"]].isna().all()


def test_a_run_that_is_not_graded_yet(write, tmp_path, record):
    write("a", [record(sample=s, score=None) for s in "ab"], samples=2)
    row = only(tmp_path)
    assert pd.isna(row.accuracy)
    assert (row.ungraded, row.complete) == (2, True)


def test_order(write, tmp_path, dense):
    write("1", [], samples=1, method="vase")
    write("2", [], samples=1, method="h2o", ratio=8.0, tokens=64)
    write("3", [], samples=1, method="h2o")
    write("4", [], samples=1, **dense)
    write("5", [], samples=1, task="aime", difficulty=None)
    write("6", [], samples=1, difficulty="easy")
    write("7", [], samples=1, model="a")
    assert results(load(tmp_path)).run.tolist() == ["5", "6", "7", "4", "3", "2", "1"]


def test_runs_of_the_same_labels_stay_apart(write, tmp_path, record):
    write("seed0", [record(score=1.0)], samples=1)
    write("seed1", [record(score=0.0)], samples=1)
    table = results(load(tmp_path))
    assert table.run.tolist() == ["seed0", "seed1"]
    assert table.accuracy.tolist() == [1.0, 0.0]


def test_no_runs_make_an_empty_table():
    assert list(results([]).columns) == COLUMNS
