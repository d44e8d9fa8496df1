import itertools
import time

import pytest
from kvarena.runners.job import progress as module
from kvarena.runners.job.progress import Progress, Tally


@pytest.fixture
def clock():
    """A clock that a test sets."""

    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    return Clock()


@pytest.fixture
def make(clock):
    def build(*, lengths=(), tally=None, num_rows=10, max_tokens=100) -> Progress:
        return Progress(
            name="snapkv on sums",
            num_rows=num_rows,
            max_tokens=max_tokens,
            typical=50,
            lengths=lambda: lengths,
            tally=tally or Tally(),
            clock=clock,
        )

    return build


def test_before_a_row_is_done_rows_are_taken_to_be_typical(make, clock):
    progress = make(lengths=[30, 30])
    clock.now += 2
    assert progress.left([30, 30]) == 8 * 50 + 50 + 50
    assert progress.line() == ("snapkv on sums: 0/10 rows, 30 tokens/s, 0:00:17 left, right -, loops 0, truncated 0")


def test_time_left_goes_by_tokens_and_counts_the_rows_under_way(make, clock, record):
    progress = make(lengths=[90, 60])
    clock.now += 10
    progress.add([record(num_tokens=20, score=1.0), record(num_tokens=30, score=0.0, stop="length", loop_onset=4)])
    # 200 tokens over 2 rows done: 100 a row; 6 rows wait, one has at most 10 tokens to go and one at most 40
    assert progress.left([90, 60]) == 6 * 100 + 10 + 40
    assert progress.line() == ("snapkv on sums: 2/10 rows, 20 tokens/s, 0:00:32 left, right 0.50, loops 1, truncated 1")


def test_rows_of_earlier_sessions_count_as_done_but_not_as_speed(make, clock, record):
    tally = Tally()
    tally.add([record(num_tokens=40)] * 4)
    progress = make(tally=tally)
    clock.now += 5
    assert progress.rate() == 0
    assert "4/10 rows, 0 tokens/s, unknown left" in progress.line()
    progress.add([record(num_tokens=40)])
    assert progress.rate() == 8
    assert progress.left([]) == 5 * 40


def test_means_over_rows(record):
    tally = Tally()
    assert tally.numbers() == {"rows": 0}
    rows = [record(score=1.0, num_tokens=10, num_evictions=3), record(score=None, num_tokens=30, stop="length")]
    tally.add([*rows, record(score=0.0, num_tokens=20, num_evictions=0, loop_onset=2)])
    assert tally.numbers() == {
        "accuracy": 0.5,
        "loop_rate": pytest.approx(1 / 3),
        "truncation_rate": pytest.approx(1 / 3),
        "evictions": 2.0,
        "mean_length": 20.0,
        "rows": 3,
    }


def test_plain_lines_when_nobody_sees_them_move(make, monkeypatch, capsys):
    monkeypatch.setattr(module, "PERIOD", 0.01)
    with make().shown():
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert all(line.startswith("snapkv on sums: 0/10 rows") and "\r" not in line for line in lines)


def test_one_line_written_over_on_a_terminal(make, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with make().shown():
        pass
    err = capsys.readouterr().err
    assert err.startswith("\r\x1b[Ksnapkv on sums: 0/10 rows")
    assert err.count("\n") == 1


def test_a_clock_set_back_changes_no_duration(monkeypatch):
    backwards = itertools.count(1e9, -3600)
    monkeypatch.setattr(time, "time", lambda: next(backwards))
    progress = Progress(name="", num_rows=1, max_tokens=1, typical=1, lengths=lambda: [7], tally=Tally())
    time.sleep(0.01)
    assert 0 < progress.seconds < 10
    assert progress.rate([7]) > 0
