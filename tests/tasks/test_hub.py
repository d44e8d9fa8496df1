"""Data sets of the hub, fetched by the real clients from a small hub of our own."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

COMMIT = "c0ffee" + "0" * 34
ROWS = {"first": [("1+1", "2"), ("1+2", "3")], "second": [("2+2", "4")]}
FETCH = """
import json, sys
from kvarena.tasks.hub import Hub
from kvarena.tasks.rows import Columns
for options in json.loads(sys.argv[1]):
    try:
        samples = Hub(**options, reader=Columns(question="problem", target="answer"))
        print(json.dumps([[(s.id, s.question, s.target) for s in samples], samples.commits]))
    except ValueError as error:
        print(json.dumps(str(error)))
"""


class Repositories(BaseHTTPRequestHandler):
    """What the clients ask: the commit of a data set, the names of its files, and the files."""

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        name = parts[parts.index("me") + 1] if "me" in parts else None
        if name not in ROWS:
            return self.reply(404, b"{}")
        text = "".join(json.dumps({"problem": p, "answer": a}) + "\n" for p, a in ROWS[name]).encode()
        if "resolve" in parts:
            is_there = parts[-1] == "test.jsonl"
            return self.reply(200 if is_there else 404, text if is_there else b"")
        if "tree" in parts:
            is_root = parts[-1] != "data"
            return self.reply(200, json.dumps([self.entry(len(text))] if is_root else []).encode())
        return self.reply(200, json.dumps({"id": f"me/{name}", "sha": COMMIT, "siblings": []}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.reply(404, b"{}")

    do_HEAD = do_GET

    def entry(self, size: int) -> dict:
        return {"type": "file", "path": "test.jsonl", "size": size, "oid": "0" * 40}

    def reply(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-repo-commit", COMMIT)
        self.send_header("etag", f'"{hash(body)}"')
        if code == 404:
            self.send_header("x-error-code", "EntryNotFound" if "resolve" in self.path else "RepoNotFound")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


def fetch(*options: dict, **environment: str) -> list:
    """In a process of its own, since the clients read the address of the hub as they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", FETCH, json.dumps(options)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What came of five requests, and then of two without a hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Repositories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path_factory.mktemp("hub"))}
    both = ["me/first", "me/second"]
    online = fetch(
        {"datasets": both},
        {"datasets": ["me/second"], "files": ["test.jsonl"]},
        {"datasets": ["me/first"], "split": "train"},
        {"datasets": ["me/second"], "files": ["test7.jsonl"]},
        {"datasets": ["me/third"]},
        **hub,
    )
    server.shutdown()
    server.server_close()
    offline = fetch({"datasets": both}, {"datasets": ["me/fourth"]}, HF_HUB_OFFLINE="1", **hub)
    return online + offline


def test_data_sets_follow_each_other_and_name_their_commit(answers):
    rows = [["0", "1+1", "2"], ["1", "1+2", "3"], ["2", "2+2", "4"]]
    assert answers[0] == [rows, {"me/first": COMMIT, "me/second": COMMIT}]


def test_files_are_read_line_by_line(answers):
    assert answers[1] == [[["0", "2+2", "4"]], {"me/second": COMMIT}]


@pytest.mark.parametrize(
    ("number", "name", "reason"),
    [
        (2, "me/first", "train"),
        (3, "me/second", "test7.jsonl"),
        (4, "me/third", "me/third"),
        (6, "me/fourth", "Couldn't reach"),
    ],
    ids=["split", "file", "name", "unreachable"],
)
def test_what_cannot_be_fetched_is_named_with_the_way_out(answers, number, name, reason):
    assert answers[number].startswith(f"data set {name} cannot be had from the hub (")
    assert reason in answers[number]
    assert answers[number].endswith("use task.path=FILE.jsonl for a local copy")


def test_what_was_fetched_once_is_there_without_the_hub(answers):
    assert answers[5] == answers[0]
