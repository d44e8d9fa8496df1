import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.tables import results
from kvarena.runners.record import append_line

COLUMNS = [
    *["task", "difficulty", "model", "method", "ratio", "tokens", "samples", "draws", "accuracy", "accuracy_low"],
    *["accuracy_high", "accuracy_unfinished", "accuracy_unfinished_low", "accuracy_unfinished_high"],
    *["common", "unlike", "not_recorded", "gain", "gain_low", "gain_high", "gain_p", "gain_p_holm", "loop_rate"],
    *["loop_rate_low", "loop_rate_high", "loop_gain", "loop_gain_low", "loop_gain_high", "loop_gain_p"],
    *["loop_gain_p_holm", "strict_loop_rate", "truncation_rate", "error_rate", "ungraded", "seq_rep_4", "distinct_4"],
    *["zlib_ratio", "repeated_lines", "vase_loop_rate", "vase_garbage_rate", "mean_length", "peak_slots"],
    *["mean_slots", "tokens_read", "evictions", "resident_bytes", "cache", "bytes", "bytes_share", "device"],
    *[
        "engine",
        "batch_size",
        "tokens_per_s",
        "tokens_per_s_equal_memory",
        "ms_per_step",
        "fixed_tokens",
        "complete",
        "note",
        "run",
    ],
    "dense",
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
    assert (row.accuracy_low, row.accuracy_high) == pytest.approx((0.0676, 0.8059), abs=1e-4)  # Beta(2, 3)
    assert (row.loop_rate, row.truncation_rate, row.error_rate, row.ungraded) == (0.25, 0.25, 0.25, 1)
    assert (row.mean_length, row.peak_slots, row.mean_slots, row.tokens_read) == (200.0, 144.0, 105.0, 70.0)
    assert (row.evictions, row.resident_bytes, row.tokens_per_s) == (2.25, 4000, 20.0)
    assert row.complete
    assert row.ms_per_step == 20_000
    assert row.note == "no dense run"
    assert row.run == "a"


def test_the_speed_of_several_workers_is_that_of_one(write, tmp_path, record):
    """40 s of one worker and 10 s of four: 80 s for 800 tokens in 8 steps."""
    folder = write("a", [record()], samples=1, sessions=[(40.0, 300)])
    four = {"started": "2026-01-02", "wall_s": 10.0, "tokens": 500, "records": 1, "steps": 7, "num_workers": 4}
    append_line(folder.sessions_file, four)
    row = only(tmp_path)
    assert (row.tokens_per_s, row.ms_per_step) == (10.0, 10_000)


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
    assert only(tmp_path).note == "no dense run"


def test_one_eviction_of_one_row_is_enough(write, tmp_path, record):
    write("a", [record(sample="a", num_evictions=0), record(sample="b", num_evictions=1)], samples=2)
    assert "never evicted" not in only(tmp_path).note


def test_flags(write, tmp_path, record):
    write("a", [record(num_evictions=0)], samples=3, draws=2)
    row = only(tmp_path)
    assert row.note == "never evicted; incomplete 1/6; no dense run"
    assert not row.complete
    assert pd.isna(row.tokens_per_s)


def test_a_run_without_records_is_a_row(write, tmp_path):
    write("a", [], samples=8)
    row = only(tmp_path)
    assert row.note == "incomplete 0/8; no dense run"
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


def test_what_a_run_leaves_out_of_the_generation_config_is_noted(write, tmp_path, record, dense):
    write("full", [record()], samples=1, **dense).note(left_out={"repetition_penalty": 1.05})
    note = results(load(tmp_path)).note[0]
    assert note == "left out, though the model's generation config asks it: repetition_penalty=1.05"


def test_no_runs_make_an_empty_table():
    assert list(results([]).columns) == COLUMNS


def test_gains_are_paired_with_dense_and_corrected(write, tmp_path, record, dense):
    problems = [f"p{i}" for i in range(8)]
    write("full", [record(sample=p) for p in problems], samples=8, **dense)
    write("a", [record(sample=p, score=0.0) for p in problems], samples=8)
    half = [record(sample=p, score=float(i < 4), loop_onset=3 if i > 5 else None) for i, p in enumerate(problems)]
    write("b", half, samples=8, method="vase")
    full, a, b = (row for _, row in results(load(tmp_path)).iterrows())
    assert pd.isna(full.gain)
    assert (a.common, a.gain, a.gain_p) == (8, -1.0, 2 / 256)
    assert (b.common, b.gain, b.gain_p) == (8, -0.5, 2 / 16)
    assert (a.gain_p_holm, b.gain_p_holm) == (4 / 256, 2 / 16)
    assert (a.loop_gain, b.loop_gain, b.loop_gain_p) == (0.0, 0.25, 0.5)
    assert b.gain_high < 0 < b.loop_rate


def test_runs_of_different_problems_are_compared_on_what_is_common(write, tmp_path, record, dense):
    write("full", [record(sample=p) for p in "abc"], samples=3, **dense)
    write("a", [record(sample=p, score=0.0) for p in "bcd"] + [record(sample="a", target="other")], samples=4)
    row = results(load(tmp_path)).iloc[1]
    assert (row.common, row.gain) == (2, -1.0)
    assert row.note == "2 of 4 problems in common with dense"


def test_nothing_in_common_leaves_the_gain_out(write, tmp_path, record, dense):
    write("full", [record(sample="a")], samples=1, **dense)
    write("a", [record(sample="b")], samples=1)
    row = results(load(tmp_path)).iloc[1]
    assert row.common == 0
    assert row[["gain", "gain_low", "gain_p", "gain_p_holm"]].isna().all()
    assert row.note == "0 of 1 problems in common with dense"


def test_a_nan_score_is_no_verdict(write, tmp_path, record):
    write("a", [record(sample="a", score=float("nan")), record(sample="b")], samples=2)
    row = only(tmp_path)
    assert (row.accuracy, row.ungraded) == (1.0, 1)


def timed_on(folder, device="H100", engine="Decoder"):
    """What its speed stands beside; None: not recorded."""
    config = folder.run()["config"]
    own = {"_target_": f"kvarena.runners.generate.{engine}"} if engine else {}
    folder.note(device=device, config=config | {"engine": config["engine"] | own})


def test_equal_memory_is_the_fastest_larger_batch_that_fits(write, tmp_path, record, dense, config):
    def run(name, batch_size, resident_bytes, speed, **labels):
        records = [record(resident_bytes=resident_bytes)]
        settings = config(batch_size=batch_size)
        timed_on(write(name, records, samples=1, sessions=[(1.0, speed)], config=settings, **labels))

    run("full", 8, 4000, 100, **dense)
    run("same", 8, 1000, 150)
    run("fits", 32, 1000, 400)
    run("too_large", 64, 1000, 700)
    run("other", 8, 1000, 150, method="vase")
    table = results(load(tmp_path)).set_index("run")["tokens_per_s_equal_memory"]
    assert table[["full", "same", "fits", "too_large"]].tolist() == [100, 400, 400, 400]
    assert pd.isna(table["other"])


def test_equal_memory_is_of_one_protocol(write, tmp_path, record, dense, config):
    """Runs of 60 tokens are smaller and faster, beside their own dense run and alone."""

    def run(name, batch_size, speed, max_tokens, **labels):
        own = config(batch_size=batch_size) | {"max_tokens": max_tokens}
        records = [record(resident_bytes=100 * max_tokens)]
        timed_on(write(name, records, samples=1, sessions=[(1.0, speed)], config=own, **labels))

    run("full", 32, 100, 512, **dense)
    run("same", 32, 150, 512)
    run("short", 16, 900, 60)
    run("short_wide", 64, 900, 60)
    run("full_60", 16, 800, 60, **dense)
    table = results(load(tmp_path)).set_index("run")["tokens_per_s_equal_memory"]
    assert pd.isna(table["same"])
    assert table[["full", "full_60"]].tolist() == [100, 800]
    (tmp_path / "full_60").rename(tmp_path.parent / f"{tmp_path.name}-away")
    table = results(load(tmp_path)).set_index("run")["tokens_per_s_equal_memory"]
    assert table[["same", "short", "short_wide"]].isna().all()


@pytest.mark.parametrize("name", ["device", "engine"])
def test_equal_memory_is_of_one_device_and_engine(write, tmp_path, record, dense, config, name):
    def run(place, batch_size, speed, other, **labels):
        records = [record(resident_bytes=100 if place != "full" else 1000)]
        folder = write(place, records, samples=1, config=config(batch_size=batch_size), **labels)
        settings = folder.run()["config"]
        engine = "runners.graphs.GraphDecoder" if (name, other) == ("engine", True) else "runners.generate.Decoder"
        folder.note(config=settings | {"engine": settings["engine"] | {"_target_": engine}})
        device = "H200" if (name, other) == ("device", True) else "H100"
        session = {"started": "2026-01-01", "wall_s": 1.0, "tokens": speed, "records": 1, "steps": 1}
        append_line(folder.sessions_file, session | {"device": device})

    run("full", 8, 100, False, **dense)
    run("slow", 9, 150, False)
    run("fast", 9, 900, True)
    table = results(load(tmp_path)).set_index("run")
    assert table.loc[["full", "slow", "fast"], name].duplicated().tolist() == [False, True, False]
    assert table.loc[["full", "slow"], "tokens_per_s_equal_memory"].tolist() == [100, 150]


@pytest.mark.parametrize("name", ["device", "engine"])
def test_what_is_not_recorded_is_not_known_to_be_equal(write, tmp_path, record, dense, config, name):
    for place, batch_size, num_bytes, labels in (("full", 8, 1000, dense), ("a", 9, 100, {})):
        settings, records = config(batch_size=batch_size), [record(resident_bytes=num_bytes)]
        timed_on(write(place, records, samples=1, sessions=[(1.0, 150)], config=settings, **labels), **{name: None})
    table = results(load(tmp_path)).set_index("run")
    assert table[name].tolist() == ["", ""]
    assert table["tokens_per_s_equal_memory"].isna().tolist() == [False, True]


def test_a_budget_given_in_tokens_is_known(write, tmp_path, record, config):
    write("a", [record()], samples=1, config=config(128, ratio=None))
    write("b", [record()], samples=1, config=config(128))
    assert results(load(tmp_path)).fixed_tokens.tolist() == [True, False]


@pytest.mark.parametrize(("tokens", "note"), [(128, "prompt protected"), (70, "prompt protected, 1 of 2 in part")])
def test_a_prompt_that_the_budget_cannot_hold_is_marked(write, tmp_path, record, tokens, note):
    """Room for 70 - 64 - 1 = 5 prompt tokens."""
    records = [record(sample="a", prompt_tokens=5), record(sample="b", prompt_tokens=6)]
    config = {"method": {"budget": {"recent": 64}}}
    write("one", records, samples=2, config=config, tokens=tokens, protects_prompt=True)
    assert only(tmp_path).note == f"{note}; no dense run"


def test_a_run_whose_batch_was_halved_says_so(write, tmp_path, record, config):
    run = write("a", [record()], samples=1, config=config(128, batch_size=16))
    run.note(halvings=[{"worker": 0, "from": 16, "to": 8}, {"worker": 0, "from": 8, "to": 4}])
    row = only(tmp_path)
    assert row.batch_size == 4
    assert row.note == "out of memory: batch halved 2 times; no dense run"


def test_a_run_that_may_have_narrowed_says_so(write, tmp_path, record, config):
    write("a", [record()], samples=1, config=config(128)).note(batch_variant=True)
    assert only(tmp_path).note == "batch variant: what a row says may hang on those beside it; no dense run"


def test_a_run_that_went_on_with_other_code_or_another_batch_says_so(write, tmp_path, record, config):
    run = write("a", [record()], samples=1, config=config(128, batch_size=16))
    changed = {"time": "2026-01-01", "before": {"config.json": "0"}, "after": {"config.json": "1"}}
    run.note(accepted_changes=[changed | {"kind": "code", "records": 7}, changed | {"kind": "weights", "records": 9}])
    append_line(
        run.sessions_file,
        {"started": "2026-01-01", "records": 1, "wall_s": 1.0, "tokens": 1, "steps": 1, "batch_sizes": [8, 16]},
    )
    row = only(tmp_path)
    assert row.batch_size == 8
    assert row.note == "code changed after 7 records; weights changed after 9 records; no dense run"


def test_a_packed_cache_is_a_row_of_its_own(write, tmp_path, record, dense):
    """Dense in fp8 is compressed: it is compared to dense, and is nobody's baseline."""
    write("full", [record()], samples=1, **dense)
    write("fp8", [record(score=0.0)], samples=1, **dense, cache="fp8").note(bytes_share=0.5116)
    config = {"compression": {"ratio": None, "tokens": 300, "bytes": 0.25}}
    write("both", [record(score=0.0)], samples=1, cache="fp8", config=config).note(bytes_share=0.2499)
    table = results(load(tmp_path)).set_index("method")
    assert list(table.index) == ["full", "full + fp8", "snapkv + fp8"]
    assert table.cache.tolist() == ["plain", "fp8", "fp8"]
    assert table["gain"].tolist()[1:] == [-1.0, -1.0]
    assert table["bytes"].tolist()[2] == 0.25
    assert table.bytes_share.tolist()[1:] == [0.5116, 0.2499]
    assert table.fixed_tokens.tolist() == [False, False, False]
