import os
import signal
import subprocess
import sys

import pytest
from kvarena.runners import evaluate
from kvarena.runners.interrupt import Stop


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_block_with_its_status(number, status):
    with pytest.raises(SystemExit) as stopped, Stop().listen():
        os.kill(os.getpid(), number)
    assert stopped.value.code == status


def test_a_signal_before_a_run_has_begun_is_one_line_too(monkeypatch, capfd):
    monkeypatch.setattr(evaluate, "application", lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(SystemExit) as stopped:
        evaluate.main()
    assert stopped.value.code == 130
    assert capfd.readouterr().err == "kvarena: stopped by SIGINT, the same command goes on\n"


def test_a_signal_while_it_is_imported_is_one_line_too():
    code = (
        "import os, signal; from kvarena.runners.plugins import start;"
        "start.resolve_name = lambda name: os.kill(os.getpid(), signal.SIGINT); start.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "kvarena: stopped by SIGINT, the same command goes on\n")


def test_in_a_shielded_block_it_waits_for_the_end():
    done = []

    def work(stop: Stop) -> None:
        with stop.shield():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("all of it")
        done.append("more")

    with Stop().listen() as stop, pytest.raises(SystemExit) as stopped:
        work(stop)
    assert stopped.value.code == 143
    assert done == ["all of it"]


def test_without_a_signal_nothing_happens_and_the_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop().listen() as stop, stop.shield():
        assert signal.getsignal(signal.SIGTERM) == stop.handle
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
