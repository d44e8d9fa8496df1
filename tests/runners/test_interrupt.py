import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest
from kvarena.runners import evaluate, interrupt
from kvarena.runners.interrupt import Stop, end_deaf, shield
from kvarena.runners.parallel import PATIENCE
from kvarena.runners.plugins import start
from kvarena.runners.record import RunFolder
from torch.distributed import HashStore

HANDLERS = signal.SIGINT, signal.SIGTERM


@pytest.fixture(autouse=True)
def _as_before():
    """What heard a signal listens no more."""
    before = [signal.getsignal(number) for number in HANDLERS]
    yield
    for number, handler in zip(HANDLERS, before, strict=True):
        signal.signal(number, handler)


def status_of(work) -> int:
    """Exit status of a process that does it; 70: it came to its end."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        work()
    finally:
        os._exit(70)


def line(number: signal.Signals) -> str:
    return f"kvarena: stopped by {number.name}, the same command goes on\n"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_block_with_its_status(number, status):
    with pytest.raises(SystemExit) as stopped, Stop().listen():
        os.kill(os.getpid(), number)
    assert stopped.value.code == status


def test_the_status_is_that_of_the_signal_where_a_library_has_made_another_of_it():
    def wait():
        """As ray.wait."""
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit as error:
            raise SystemExit(1) from error

    with pytest.raises(SystemExit) as stopped, Stop().listen():
        wait()
    assert stopped.value.code == 143


def test_a_status_without_a_signal_is_its_own():
    with pytest.raises(SystemExit) as stopped, Stop().listen():
        raise SystemExit(2)
    assert stopped.value.code == 2


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


SCRIPTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
ENDS = {"kvarena": "the same command goes on", "kvarena-benchmark": "resume=true goes on"}
ENDS["kvarena-fidelity"] = ENDS["kvarena"]


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_signal_while_any_command_is_imported_is_one_line(command, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", [command, "a"])
    monkeypatch.setattr(start, "resolve_name", lambda name: os.kill(os.getpid(), signal.SIGTERM))
    assert status_of(resolve_name(SCRIPTS[command])) == 143
    name = "kvarena" if command == "kvarena-fidelity" else command
    then = ENDS.get(command, "nothing is half written")
    assert capfd.readouterr().err == f"{name}: stopped by SIGTERM, {then}\n"


@pytest.mark.parametrize("command", sorted(SCRIPTS.keys() - {"kvarena", "kvarena-fidelity"}))
def test_a_signal_while_any_command_works_is_one_line(command, monkeypatch, capfd):
    work = []

    def resolved(name):
        work.append(resolve_name(name))
        return lambda: os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(start, "resolve_name", resolved)
    with pytest.raises(SystemExit) as stopped:
        resolve_name(SCRIPTS[command])()
    assert stopped.value.code == 130
    assert [main.__name__ for main in work] == ["main"]
    assert capfd.readouterr().err == f"{command}: stopped by SIGINT, {ENDS.get(command, 'nothing is half written')}\n"


@pytest.mark.parametrize(
    "words", [["-m", "kvarena.analysis.studies.equal_bytes", "runs", "out"], ["kvarena-report", "runs"]]
)
def test_a_signal_in_the_midst_of_reading_runs_is_one_line(words, tmp_path):
    """A process of its own; its records are a pipe, which tells when it reads them."""
    run = RunFolder(path=tmp_path / "runs/a")
    labels = {"task": "sorting", "difficulty": "easy", "model": "reasoner", "method": "full", "ratio": 1.0}
    labels |= {"tokens": None, "evicts": False, "selects": False, "protects_prompt": False}
    run.begin({"identity": "a", "labels": labels, "num_samples": 1, "num_draws": 1})
    os.mkfifo(run.records_file)
    program = [Path(sys.executable).parent / words[0], *words[1:]] if words[0] != "-m" else [sys.executable, *words]
    process = subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with run.records_file.open("w"):  # when it is read
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)
    name = "kvarena" if words[0] == "-m" else words[0]
    assert (process.returncode, *said) == (130, "", f"{name}: stopped by SIGINT, nothing is half written\n")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"run.json"}


def test_a_signal_while_a_study_is_imported_is_one_line(tmp_path):
    """Python has put "-m" there when it looks for the module."""
    code = "import os, signal, sys; sys.argv[0] = '-m'; import kvarena.analysis.studies; os.kill(os.getpid(), 15)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (143, "kvarena: stopped by SIGTERM, nothing is half written\n")


def test_in_a_shielded_block_it_waits_for_the_end():
    done = []

    def work() -> None:
        with shield():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("all of it")
        done.append("more")

    with Stop().listen(), pytest.raises(SystemExit) as stopped:
        work()
    assert stopped.value.code == 143
    assert done == ["all of it"]


def test_without_a_signal_nothing_happens_and_the_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Stop().listen() as stop:
        with shield():
            assert signal.getsignal(signal.SIGTERM) != stop.handle
        assert signal.getsignal(signal.SIGTERM) == stop.handle
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_is_handed_on_beside_the_terminal_is_one_signal_and_said_once(capfd):
    def work() -> None:
        with Stop().listen(), Stop().listen():
            try:
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit):
        work()
    os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == line(signal.SIGINT)


def test_a_second_signal_ends_it_at_once(monkeypatch, capfd):
    monkeypatch.setattr(interrupt, "ECHO", 0.01)

    def work() -> None:
        with Stop().listen():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGINT)

    assert status_of(work) == 130
    assert capfd.readouterr().err == line(signal.SIGTERM)


def test_a_signal_ends_what_waits_and_hears_none(monkeypatch, capfd):
    """A collective of torch does not return for a signal, nor does its store."""
    monkeypatch.setattr(interrupt, "PATIENCE", 0.1)

    def work() -> None:
        with Stop().listen():
            end_deaf()
            signal.signal(signal.SIGALRM, lambda *_: None)
            os.kill(os.getpid(), signal.SIGALRM)  # of a verdict that takes long: not the end
            if not (child := os.fork()):
                time.sleep(0.1)
                os.kill(os.getppid(), signal.SIGTERM)
                os._exit(0)
            HashStore().wait(["nobody sets it"], PATIENCE)
            os.waitpid(child, 0)

    assert status_of(work) == 143
    assert capfd.readouterr().err == line(signal.SIGTERM)
