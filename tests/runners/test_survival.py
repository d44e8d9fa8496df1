"""A run that is killed, stopped, cut short or moved, and goes on: in the end the records of one that nothing befell."""

import json
import shutil
import signal

import pytest
from kvarena.runners.record import RunFolder

ROWS = 20
COMMAND = ["difficulty=easy", "compression.tokens=40", "compression.interval=4", "device=cpu"]
COMMAND += ["max_tokens=16", "engine.batch_size=2"]
RUN = [*COMMAND, f"num_samples={ROWS}", "output_dir=run"]


def outcome(folder) -> dict:
    """All that a record says, but for the times."""
    timed = {"prefill_s": 0, "decode_s": 0}
    return {record.key: vars(record) | timed for record in RunFolder(path=folder).records()}


@pytest.fixture
def lines(tmp_path):
    """lines(): how many lines the records file has."""
    file = tmp_path / "run/records.jsonl"
    return lambda: file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.fixture(scope="module")
def whole(launch, tmp_path_factory):
    """The outcome of a run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole")
    assert launch(folder, *RUN).wait() == 0
    return outcome(folder / "run")


def kill_and_go_on(start, until, lines, command, kills: int, growth: int) -> int:
    """Kill the run each time it has grown by so many lines, then let it end; returns the exit status of the end."""
    for _ in range(kills):
        before, run = lines(), start(*command)
        until(lambda before=before: lines() >= before + growth)
        assert run.kill() == -signal.SIGKILL
    return start(*command).wait()


def test_killed_twice_it_ends_with_the_same_records(start, until, lines, whole, tmp_path):
    assert kill_and_go_on(start, until, lines, RUN, kills=2, growth=4) == 0
    assert outcome(tmp_path / "run") == whole
    assert lines() == ROWS
    assert len(RunFolder(path=tmp_path / "run").sessions()) == 1  # what was killed could not write its own


@pytest.mark.slow
def test_killed_twenty_five_times_it_ends_with_the_same_records(start, until, lines, tmp_path):
    command = [*COMMAND, "num_samples=120"]
    assert start(*command, "output_dir=whole").wait() == 0
    assert kill_and_go_on(start, until, lines, [*command, "output_dir=run"], kills=25, growth=3) == 0
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert lines() == 120


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_between_two_lines(start, until, lines, whole, tmp_path, number, status):
    run = start(*RUN)
    until(lambda: lines() >= 2)
    assert run.kill(number) == status
    assert f"kvarena: stopped by {number.name}, the same command goes on" in run.text
    done = outcome(tmp_path / "run")
    assert 2 <= len(done) < ROWS
    assert done == {key: whole[key] for key in done}
    (session,) = RunFolder(path=tmp_path / "run").sessions()
    assert (session["records"], session["tokens"]) == (len(done), 16 * len(done))
    assert (tmp_path / "run/lock").read_text() == ""


def test_a_full_disk_ends_it_with_one_line_and_whole_records(start, whole, tmp_path, lines):
    run = start(*RUN, max_bytes=16_500)  # run.json fits, the records do not
    assert run.wait() == 2
    last = run.text.splitlines()[-1]
    assert last.startswith("kvarena: [Errno 27] File too large, what was there is kept: make room and run the same ")
    assert last.endswith("'run/records.jsonl'")
    assert (tmp_path / "run/records.jsonl").read_bytes().endswith(b"}\n")
    assert 0 < lines() < ROWS
    assert start(*RUN).wait() == 0
    assert outcome(tmp_path / "run") == whole


def test_a_full_disk_at_the_start_leaves_no_half_of_a_file(start, tmp_path):
    run = start(*RUN, max_bytes=4_000)
    assert run.wait() == 2
    assert run.text.splitlines()[-1].startswith("kvarena: [Errno 27] File too large, what was there is kept: make room")
    assert not list((tmp_path / "run").glob("*.tmp"))
    assert not (tmp_path / "run/run.json").exists()


def test_a_second_process_on_the_folder_stops_with_a_line(start, until, lines, whole, tmp_path):
    first = start(*RUN)
    until(lambda: lines() >= 1)
    second = start(*RUN)
    assert second.wait() == 2
    assert f"kvarena: run is worked on by process {first.pid} on " in second.text
    assert first.wait() == 0
    assert outcome(tmp_path / "run") == whole


def test_a_folder_copied_from_another_machine_goes_on(start, until, lines, whole, tmp_path):
    run = start(*RUN)
    until(lambda: lines() >= 2)
    run.kill()
    shutil.copytree(tmp_path / "run", tmp_path / "else/where")
    owner = json.loads((tmp_path / "run/lock").read_text())
    (tmp_path / "else/where/lock").write_text(json.dumps(owner | {"host": "far-away"}))
    assert start(*RUN[:-1], "output_dir=else/where").wait() == 0
    assert outcome(tmp_path / "else/where") == whole


def test_a_folder_that_cannot_be_written_is_said_in_one_line(start):
    run = start(*RUN[:-1], "output_dir=/sys/kvarena")  # not even root writes there
    assert run.wait() == 2
    assert run.text.splitlines()[-1].startswith("kvarena: [Errno ")
    assert "/sys/kvarena" in run.text.splitlines()[-1]


def test_samples_that_changed_under_the_run_are_refused(start, tmp_path):
    def write(target: str) -> None:
        meta = {"start": 1, "goal": 2, "edges": [[1, 2]]}
        sample = {"id": "mine", "question": "path from 1 to 2 in 2 : 1 : 2 ; 2 : 1", "target": target, "meta": meta}
        (tmp_path / "mine.jsonl").write_text(json.dumps(sample))

    command = [*COMMAND, "num_samples=null", "task.path=mine.jsonl", "output_dir=run"]
    write("1 2")
    assert start(*command).wait() == 0
    write("2 1")
    again = start(*command)
    assert again.wait() == 2
    assert "output_dir=run holds a run of other samples of the same name" in again.text
