"""The processes that follow rank 0, and how they end."""

import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr
from pathlib import Path
from select import select

import pytest
from kvarena.runners import evaluate
from kvarena.runners.workers import follow, team
from torch.distributed import TCPStore

ENDS = """
import sys
from kvarena.runners.workers import team, watch
watch.PERIOD = 0  # so that a thread is in the store as Python ends
bound, _, _ = team.FOLLOWER.partition("    from kvarena")
team.FOLLOWER = bound + '''
    import time
    from torch.distributed import rendezvous
    store, rank, _ = next(rendezvous("env://"))
    store.set(f"pid/{rank}", str(os.getpid()))
    time.sleep(60)
'''
team.team_of(2)
"""


def forked(work, output: Path) -> int:
    """The id of a process that does it, and says what it says to a file."""
    if pid := os.fork():
        return pid
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 2)
    status = 70
    try:
        with redirect_stderr(os.fdopen(2, "w", closefd=False)):
            status = work()
    finally:
        os._exit(status)


def ended(pid: int, until) -> int:
    """Its exit status."""
    found = []
    until(lambda: found.append(os.waitpid(pid, os.WNOHANG)) or found[-1][0], 20)
    return os.waitstatus_to_exitcode(found[-1][1])


@pytest.mark.parametrize("size", [2, 3])
def test_a_follower_that_ends_before_it_has_begun_ends_the_run(monkeypatch, size):
    monkeypatch.setattr(team, "FOLLOWER", "import os, time; os.environ['RANK'] == '1' or time.sleep(60)")
    with pytest.raises(ValueError, match=rf"tensor_parallel={size}: a rank ended before it had begun; "):
        team.team_of.__wrapped__(size)


def test_python_ends_while_a_thread_asks_the_store():
    """It aborted a run that had ended well."""
    assert subprocess.run([sys.executable, "-c", ENDS]).returncode == 0


@pytest.mark.parametrize("stopped", [False, True])
def test_a_follower_ends_with_rank_0_though_neither_has_begun(monkeypatch, until, tmp_path, stopped):
    told = tmp_path / "follower"
    begun = team.FOLLOWER.replace("    from", f"    open({str(told / 'begun')!r}, 'w'); from")
    assert begun != team.FOLLOWER
    told.mkdir()

    def lead() -> int:
        monkeypatch.setattr(team, "FOLLOWER", begun)
        (told / "pid").write_text(str(team.hire(1, 2, 1).pid))
        time.sleep(60)
        return 0

    leader = forked(lead, tmp_path / "said")
    until((told / "begun").exists)
    follower = int((told / "pid").read_text())
    ends = os.pidfd_open(follower)
    if stopped:
        os.kill(follower, signal.SIGSTOP)
    os.kill(leader, signal.SIGKILL)
    os.waitpid(leader, 0)
    assert select([ends], [], [], 3)[0]


def test_a_follower_of_torchrun_leaves_a_terminal_to_rank_0_and_ends_with_torchrun(monkeypatch, until, tmp_path):
    """The store is torchrun's."""
    told = tmp_path / "port"

    def serve() -> int:
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        store.set("pid/0", str(os.getppid()))
        told.write_text(str(store.port))
        store.wait(["pid/1"])
        told.with_name("met").touch()
        time.sleep(60)
        return 0

    agent = forked(serve, tmp_path / "agent")
    until(lambda: told.exists() and told.read_text())
    environment = dict(RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=told.read_text())
    for name, value in (environment | {"TORCHELASTIC_USE_AGENT_STORE": "True"}).items():
        monkeypatch.setenv(name, value)
    follower = forked(follow, tmp_path / "said")
    until(told.with_name("met").exists)
    os.kill(follower, signal.SIGINT)
    time.sleep(0.2)
    os.kill(agent, signal.SIGKILL)
    os.waitpid(agent, 0)
    assert ended(follower, until) == 0
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_an_environment_of_torchrun_that_lacks_something_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("kvarena: ")
    assert said.endswith("environment variable RANK expected, but not set\n")
    assert said.count("\n") == 1
