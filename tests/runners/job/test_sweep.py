"""Sweeps through the command line: what they leave undone, and what they say in the end."""

import signal
import sys

import pytest
from kvarena.runners.evaluate import main
from kvarena.runners.job.sweep import Outcome, cost, in_share, summary
from kvarena.runners.record import RunFolder

SMALL = ["difficulty=easy", "num_samples=2", "max_tokens=8", "engine.batch_size=2", "device=cpu"]
TOO_SMALL = "budget of 2 tokens is not above recent + sinks = 16 + 0"


@pytest.fixture
def sweep(monkeypatch, tmp_path, capsys):
    """sweep(*overrides): exit status and what was printed, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kvarena", "-m", *SMALL, *overrides])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, capsys.readouterr().out

    return run


def names(tmp_path) -> list[str]:
    return sorted(path.parent.name.rsplit("-", 1)[0] for path in tmp_path.rglob("run.json"))


def test_a_bad_combination_does_not_stop_the_others(sweep, tmp_path):
    status, out = sweep("method=snapkv,full", "compression.ratio=100,2")
    assert status == 1
    assert names(tmp_path) == ["full", "snapkv-116"]
    head, failed, snapkv, full, again = out[out.index("sweep of") :].splitlines()
    assert head == "sweep of 4: 1 failed, 2 done, 1 skipped"
    assert failed.startswith("  failed  difficulty=easy ")
    assert f"method=snapkv compression.ratio=100: {TOO_SMALL}" in failed
    assert snapkv == "  done    snapkv on graph_search, ratio 2, 116 tokens"
    assert full == "  done    full on graph_search"
    assert again == "  skipped full on graph_search: complete"


def test_a_failure_inside_a_run_does_not_stop_the_others(sweep, tmp_path, monkeypatch, capsys):
    append = RunFolder.append

    def broken(folder, *records):
        if "snapkv" in folder.path.name:
            raise RuntimeError("a bug")
        append(folder, *records)

    monkeypatch.setattr(RunFolder, "append", broken)
    status, out = sweep("method=snapkv,full", "compression.ratio=2")
    assert status == 1
    assert "sweep of 2: 1 failed, 1 done" in out
    assert "compression.ratio=2: a bug" in out
    assert len(RunFolder(path=next(tmp_path.rglob("full-*"))).records()) == 2


def test_a_dry_run_lists_what_is_to_do_and_what_it_takes(sweep, tmp_path):
    assert sweep("method=full", "seed=0,1")[0] == 0
    before = sorted(tmp_path.rglob("*"))
    status, out = sweep("method=full,snapkv", "compression.ratio=2,100", "seed=0", "dry_run=true")
    assert status == 1
    assert sorted(tmp_path.rglob("*")) == before
    head, full, again, snapkv, failed, total = out[out.index("sweep of") :].splitlines()
    assert head == "sweep of 4: 2 skipped, 1 planned, 1 failed"
    assert full == again == "  skipped full on graph_search: complete"
    start = "  planned snapkv on graph_search, ratio 2, 116 tokens: 0 of 2 done, about 16 tokens, "
    assert snapkv.startswith(start)
    assert "GPU-hours at " in snapkv
    assert "tokens/s (cpu, " in snapkv
    assert " MB, " in snapkv
    assert TOO_SMALL in failed
    assert total.startswith("  1 runs, about 16 tokens, ")
    assert total.endswith(" GPU-hours in all")


def test_a_dry_run_leaves_nothing_and_touches_nothing(sweep, tmp_path):
    assert sweep("method=full,snapkv", "dry_run=true", "runs_dir=deep/runs")[0] == 0
    assert list(tmp_path.iterdir()) == []
    sweep_file = tmp_path / "runs/multirun.yaml"
    sweep_file.parent.mkdir()
    sweep_file.write_text("that of another sweep")
    assert sweep("method=full,snapkv", "dry_run=true")[0] == 0
    assert [*tmp_path.rglob("*")] == [sweep_file.parent, sweep_file]
    assert sweep_file.read_text() == "that of another sweep"


def test_hours_are_summed_by_device():
    tokens, hours = 3000, [1.0, 2.0, 40.0, None]
    assert cost(tokens, hours, 10**6, ["", "", "H100", ""]) == (
        "about 3,000 tokens, 1 MB, 3 GPU-hours and 40 GPU-hours on an H100 (without 1 of unknown speed)"
    )


def test_what_is_wrong_for_all_combinations_is_said_once_and_leaves_nothing(sweep, tmp_path, capsys):
    status, out = sweep("method=snapkv,full", "num_draws=two")
    assert (status, out) == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_processes_that_split_a_sweep_do_each_combination_once():
    """Ratios 0, 1, 2 of each method, over three processes: none has one ratio to itself."""
    shares = [[number for number in range(10) if in_share(number, index, of=3)] for index in range(3)]
    assert shares == [[0, 5, 7, 9], [1, 3, 8], [2, 4, 6]]
    assert all(in_share(number, 0, of=1) for number in range(10))


def test_a_share_of_a_sweep_is_all_that_runs(sweep, tmp_path):
    options = ["method=full,snapkv", "compression.ratio=2", "share.of=2"]
    status, out = sweep(*options, "share.index=1")
    assert (status, names(tmp_path)) == (0, ["snapkv-116"])
    assert "sweep of 1: 1 done\n  done    snapkv on graph_search, ratio 2, 116 tokens" in out
    status, out = sweep(*options, "share.index=0")
    assert (status, names(tmp_path)) == (0, ["full", "snapkv-116"])
    status, out = sweep(*options[:2])
    assert "sweep of 2: 2 skipped" in out


def test_a_share_beyond_the_last_is_refused(sweep, tmp_path, capsys):
    """Processes count from 0: one that counts from 1 would have nothing to do, and nobody would do the first's."""
    assert sweep("method=full,snapkv", "share.of=2", "share.index=2")[0] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("share.of=2", "share.index=0 share.of=2: only a sweep (-m) has shares, leave them out"),
        ("share.index=1", "share.index=1 share.of=1: only a sweep (-m) has shares, leave them out"),
        ("ray.address=auto", "ray.address=auto is for workers=ray: give that, or leave it out"),
    ],
)
def test_what_a_run_alone_would_ignore_is_refused(tmp_path, monkeypatch, capsys, word, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kvarena", "difficulty=easy", "device=cpu", "dry_run=true", word])
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code, capsys.readouterr().err) == (2, f"kvarena: {says}\n")


@pytest.mark.slow
def test_a_sweep_through_submitit(sweep, tmp_path):
    """Each job in a process of its own, as on a cluster."""
    status, out = sweep("method=snapkv", "compression.ratio=100,2", "hydra/launcher=submitit_local")
    assert status == 1
    assert names(tmp_path) == ["snapkv-116"]
    assert "sweep of 2: 1 " in out
    assert "  done    snapkv on graph_search, ratio 2, 116 tokens" in out
    assert TOO_SMALL in out


def test_a_folder_planned_twice_counts_once():
    planned = [
        Outcome(status="planned", name="full", reason="r", folder="a", tokens=100, hours=2.0, num_bytes=12_000_000),
        Outcome(status="planned", name="full", reason="r", folder="a", tokens=100, hours=2.0, num_bytes=12_000_000),
        Outcome(status="planned", name="h2o", reason="s", folder="b", tokens=1000, num_bytes=2_000_000),
    ]
    assert summary(planned).splitlines() == [
        "sweep of 3: 3 planned",
        "  planned full: r",
        "  planned full: r",
        "  planned h2o: s",
        "  2 runs, about 1,100 tokens, 14 MB, 2 GPU-hours (without 1 of unknown speed) in all",
    ]


def test_without_a_measured_speed_no_hours_are_claimed():
    assert cost(7, [None], 84_000) == "about 7 tokens, 0.084 MB, GPU-hours unknown: no speed was measured yet"
    assert cost(7, [100.4, 10], 12e6) == "about 7 tokens, 12 MB, 110 GPU-hours"


def test_a_sweep_that_is_stopped_says_what_it_did(start, until, tmp_path):
    two = ["-m", *SMALL, "method=full", "seed=0,1", "num_samples=8", "max_tokens=32", "runs_dir=runs"]
    run = start(*two)
    until(lambda: len(list(tmp_path.rglob("sessions.jsonl"))) == 1 and len(list(tmp_path.rglob("records.jsonl"))) == 2)
    assert run.kill(signal.SIGTERM) == 143
    assert "sweep of 1: 1 done\n  done    full on graph_search" in run.text
