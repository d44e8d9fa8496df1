import json
import os
import resource
import socket
import subprocess
import sys

import pytest
from kvarena.runners.record import Locked, locked
from kvarena.runners.record.lock import lock

HOLD = """
import sys, pathlib
from kvarena.runners.record import Locked, locked
try:
    with locked(pathlib.Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except Locked as error:
    print(error, flush=True)
"""


@pytest.fixture
def hold(tmp_path):
    """hold(): another process that takes the lock, and what it says about it."""
    processes = []

    def start() -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_second_is_told_who_the_first_is(hold, tmp_path):
    process, said = hold()
    assert said == "held"
    with pytest.raises(Locked) as refused, locked(tmp_path):
        pass
    who = f"process {process.pid} on {socket.gethostname()}"
    assert str(refused.value) == f"{tmp_path} is worked on by {who}: wait for it"
    assert hold()[1] == str(refused.value)


def test_what_a_dead_process_left_is_taken_over(hold, tmp_path, capsys):
    process, _ = hold()
    process.kill()
    process.wait()
    assert json.loads((tmp_path / "lock").read_text())["pid"] == process.pid
    with locked(tmp_path):
        assert capsys.readouterr().out == f"{tmp_path}: process {process.pid} died here, going on in its place\n"
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    with locked(tmp_path):
        assert capsys.readouterr().out == ""


def test_it_is_free_again_afterwards_whatever_happened_inside(hold, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/run.json").touch()
    with pytest.raises(KeyError), locked(tmp_path / "new"):
        raise KeyError
    assert (tmp_path / "new/lock").read_text() == ""
    with locked(tmp_path):
        assert hold()[1].endswith("wait for it")
    assert hold()[1] == "held"


def test_where_nothing_was_written_nothing_is_left(tmp_path):
    """Nor a lock in a folder that was there; what another has put beside it stays."""
    with pytest.raises(KeyError), locked(tmp_path / "a/b/c"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a/b/c"):
        (tmp_path / "a/d").mkdir()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", tmp_path / "a/d"]


def test_a_lock_on_a_file_that_is_gone_is_none(tmp_path):
    with (tmp_path / "lock").open("a+") as file:
        (tmp_path / "lock").unlink()
        assert not lock(file)
        (tmp_path / "lock").touch()
        assert not lock(file)


def owner(folder, **changed) -> None:
    """A lock file as a process elsewhere leaves it, where no kernel tells of its lock."""
    (folder / "lock").touch()
    mine = {"pid": 77, "host": "far-away", "inode": (folder / "lock").stat().st_ino}
    (folder / "lock").write_text(json.dumps(mine | changed))


def test_the_lock_of_another_machine_is_kept(tmp_path):
    owner(tmp_path)
    message = f"{tmp_path} is worked on by process 77 on far-away: wait for it, or delete {tmp_path}/lock if it is gone"
    with pytest.raises(Locked, match=f"^{message}$"), locked(tmp_path):
        pass
    assert json.loads((tmp_path / "lock").read_text())["pid"] == 77


@pytest.mark.parametrize("text", ["", '{"pid": 7'])
def test_an_empty_or_torn_lock_file_is_nobodys(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    with locked(tmp_path):
        pass


def test_a_lock_that_was_copied_with_its_folder_is_nobodys(tmp_path, capsys):
    owner(tmp_path, inode=1)
    with locked(tmp_path):
        assert capsys.readouterr().out == ""


def test_a_full_disk_is_named_and_nothing_is_left(tmp_path):
    """As in test_record.py: no file may grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        said = "File too large, what was there is kept: make room"
        with pytest.raises(OSError, match=said) as full, locked(tmp_path / "run"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert full.value.filename == str(tmp_path / "run/lock")
    assert list(tmp_path.iterdir()) == []
