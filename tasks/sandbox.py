"""Programs that nobody has read, run where they can do no harm: bubblewrap, without network, files or time to spare.

A program sees a read-only Python (standard library and numpy), its input, and a small /tmp of its own. What is expected
of it never enters. An ordinary user runs it in a user namespace; root runs it as a user that exists nowhere else, since
the limit on processes does not bind root. Memory is limited by process: all of them may take `processes` times that.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple

DRIVER = Path(__file__).with_name("sandbox_driver.py")
# of this Python; asked for here, since sysconfig is not safe among threads
LIBRARY = Path(sysconfig.get_path("stdlib"))
SHARED = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
MEGABYTE = 1 << 20
STRANGERS = range(1 << 20, 1 << 30)  # user ids for root to choose from
SLOTS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))  # programs at a time; a clock starts with its program


class NoSandbox(Exception):
    """Nothing was run, so nothing can be said about the program."""


class ProgramOutcome(NamedTuple):
    stdout: str
    fault: str  # why it is no orderly end; empty if it is one


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    cpu_s: int = 30  # of one process
    wall_s: float = 60.0  # after that all of them are killed
    memory_mb: int = 2048  # address space of one process
    processes: int = 16  # threads included
    file_mb: int = 16  # of one file, of the output, and of /tmp

    def __post_init__(self) -> None:
        for name in ("cpu_s", "wall_s", "memory_mb", "processes", "file_mb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"sandbox.{name}={getattr(self, name)}: use a positive number")

    def run(self, program: str, stdin: str, function: str = "") -> ProgramOutcome:
        """Run a program on its input, or call one of its functions (sandbox_driver.py)."""
        bwrap = shutil.which("bwrap")
        if bwrap is None:
            raise NoSandbox("grading code needs bubblewrap: apt-get install bubblewrap")
        with SLOTS, _files(program, DRIVER.read_text(), stdin, "", "", "") as files:
            source, driver, given, out, err, status = files
            command = [bwrap, *_namespaces(), *_interpreter(), *self._writable()]
            for file, place in ((source, "/program.py"), (driver, "/driver.py")):
                command += ["--perms", "0444", "--ro-bind-data", str(file.fileno()), place]
            command += ["--remount-ro", "/dev", "--remount-ro", "/", "--json-status-fd", str(status.fileno())]
            command += ["/python/bin/python", "-S", "-B", "-X", "utf8", "/driver.py", self._job(function)]
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=out,
                stderr=err,
                env={},
                pass_fds=[file.fileno() for file in (source, driver, status)],
                start_new_session=True,
            )
            late = _wait(process, self.wall_s)
            stdout, stderr = _text(out), _text(err)
            if not late and '"exit-code"' not in _text(status):
                raise NoSandbox(f"bubblewrap cannot run a program here: {stderr.strip() or 'no reason given'}")
        if late:
            return ProgramOutcome(stdout, "timeout")
        return ProgramOutcome(stdout, self._fault(process.returncode, stdout, stderr))

    def _writable(self) -> list[str]:
        return ["--perms", "1777", "--size", str(self.file_mb * MEGABYTE), "--tmpfs", "/tmp", "--chdir", "/tmp"]

    def _job(self, function: str) -> str:
        limits = {
            "RLIMIT_AS": self.memory_mb * MEGABYTE,
            "RLIMIT_CPU": self.cpu_s,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file_mb * MEGABYTE,
            "RLIMIT_CORE": 0,
        }
        uid = random.choice(STRANGERS) if os.geteuid() == 0 else None
        return json.dumps({"uid": uid, "limits": limits, "function": function})

    def _fault(self, code: int, stdout: str, stderr: str) -> str:
        # bubblewrap reports a signal as 128 and its number
        if code in (128 + signal.SIGXCPU, 128 + signal.SIGKILL):
            return "timeout"
        if len(stdout.encode()) >= self.file_mb * MEGABYTE:
            return f"more than {self.file_mb} MB of output"
        last = stderr.strip().rpartition("\n")[2][:200]
        return f"exit code {code}: {last}" if code else ""


@cache
def probe(sandbox: Sandbox) -> None:
    """Once for each sandbox: a harmless program runs in it, or no program's failure would mean anything."""
    outcome = sandbox.run("print('ready')", "")
    if outcome != ("ready\n", ""):
        raise NoSandbox(f"bubblewrap cannot run a program here: {outcome.fault or 'no output'}")


def _namespaces() -> list[str]:
    flags = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:
        flags += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        flags += ["--unshare-user", "--disable-userns"]
    return [*flags, "--die-with-parent", "--proc", "/proc", "--dev", "/dev"]


def _interpreter() -> list[str]:
    """This Python without its virtual environment, and the system's shared libraries, read-only."""
    binds = {path: path for path in ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache")}
    binds |= {os.path.realpath(sys._base_executable): "/python/bin/python"}  # type: ignore[attr-defined]
    binds |= {str(path): f"/python/lib/{path.name}" for path in (LIBRARY, SHARED)}
    numpy = Path(find_spec("numpy").origin).parent  # type: ignore[union-attr,arg-type]
    binds |= {str(folder): f"/python/packages/{folder.name}" for folder in (numpy, numpy.with_name("numpy.libs"))}
    # made beforehand, since bubblewrap would let nobody but root into a folder that it makes on the way
    folders = ("/usr", "/etc", "/python", "/python/bin", "/python/lib", "/python/packages")
    parts = [part for folder in folders for part in ("--perms", "0755", "--dir", folder)]
    parts += [part for path, place in binds.items() for part in ("--ro-bind-try", path, place)]
    variables = {
        "PYTHONHASHSEED": "0",  # or a verdict could differ between two runs
        "PYTHONPATH": "/python/packages",
        "LD_LIBRARY_PATH": "/python/lib",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return parts + [part for name, value in variables.items() for part in ("--setenv", name, value)]


@contextmanager
def _files(*texts: str) -> Iterator[list[IO[bytes]]]:
    """Nameless files with these contents, read from their beginning; a program may open them again by /dev/stdin."""
    with ExitStack() as stack:
        files: list[IO[bytes]] = [stack.enter_context(tempfile.TemporaryFile()) for _ in texts]
        for file, text in zip(files, texts, strict=True):
            file.write(text.encode("utf-8", "replace"))
            file.seek(0)
            os.fchmod(file.fileno(), 0o666)
        yield files


def _wait(process: subprocess.Popen, seconds: float) -> bool:
    """Whether it had to be killed; all that it started ends with its namespace."""
    handle = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        late = not poll.poll(seconds * 1000)
    finally:
        os.close(handle)
    if late:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return late


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
