import os
import signal

import pytest
from kvarena.runners.job.interrupt import Stop


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_block_with_its_status(number, status):
    with pytest.raises(SystemExit) as stopped, Stop().listen():
        os.kill(os.getpid(), number)
    assert stopped.value.code == status


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
