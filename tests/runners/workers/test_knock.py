import socket
import time

import pytest
from kvarena.runners.workers import knock


@pytest.fixture
def silent():
    """The address of somebody who takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_where_nobody_listens_is_said_at_once():
    started = time.monotonic()
    with pytest.raises(
        ValueError, match=r"^ray.address=127.0.0.1:1: nobody answers there \(\[Errno 111\] Connection refused\)"
    ):
        knock.refuse_silence("127.0.0.1:1")
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_somebody_who_says_nothing_is_no_cluster(silent, monkeypatch, scheme):
    monkeypatch.setattr(knock, "PATIENCE", 0.1)
    with pytest.raises(ValueError, match=rf"^ray.address={scheme}{silent}: nobody answers there \(timed out\)"):
        knock.refuse_silence(f"{scheme}{silent}")


def test_a_name_that_leads_nowhere():
    with pytest.raises(ValueError, match=r"^ray.address=nowhere.invalid:6379: nobody answers there"):
        knock.refuse_silence("nowhere.invalid:6379")


@pytest.mark.parametrize("address", ["here", "here:there", "host:99999", ":1", "1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match=f"^ray.address={address}: use HOST:PORT, auto for"):
        knock.refuse_silence(address)
