import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants
from kvarena.tasks import reach


class Missing(BaseHTTPRequestHandler):
    """A hub that answers, whatever it says."""

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *_) -> None: ...


@pytest.fixture
def prepared(monkeypatch):
    """prepared(address): whether the hub's clients still ask, after a look at whether it answers there."""
    reach.prepare.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def ask(address: str) -> bool:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        reach.prepare()
        return not constants.HF_HUB_OFFLINE

    yield ask
    reach.prepare.cache_clear()


def test_a_hub_that_answers_is_asked(prepared):
    with ThreadingHTTPServer(("127.0.0.1", 0), Missing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert prepared(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_a_hub_that_is_silent_or_not_there_is_not(prepared, monkeypatch):
    monkeypatch.setattr(reach, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not prepared(f"http://127.0.0.1:{silent.getsockname()[1]}")
    reach.prepare.cache_clear()
    assert not prepared("http://127.0.0.1:1")


def test_it_is_asked_once(prepared, monkeypatch):
    assert not prepared("http://127.0.0.1:1")
    monkeypatch.setattr(reach, "_answers", lambda: pytest.fail("asked again"))
    assert not prepared("http://127.0.0.1:1")
