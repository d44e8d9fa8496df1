"""A mathematical answer, equal to the target in value: math-verify, in a process of its own that a timeout can end."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from ..task import Grade
from .completion import EMPTY, boxed, same_text
from .notation import normalise

WORKERS = threading.local()  # an idle worker for each thread that grades


@dataclass(frozen=True, kw_only=True)
class MathGrader:
    """The last box after the thought. Without a verdict in time, or with an error, the row is ungraded, not wrong."""

    seconds: float = 10.0  # of one comparison, counted by the worker from when it begins

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError(f"task.grader.seconds={self.seconds}: use a positive number")

    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        answer, fault = boxed(completion)
        if fault:
            return Grade(score=0.0, answer=answer, note=fault, second_opinion=0.0)
        second = float(same_text(answer, target))
        score, note = compare(target, answer, self.seconds)
        return Grade(score=score, answer=answer, note=note, second_opinion=second)


def compare(target: str, answer: str, seconds: float) -> tuple[float | None, str]:
    """Score and note of comparison.py, which need not be asked about one spelling."""
    if normalise(target) == normalise(answer) != "":
        return 1.0, ""
    # whoever is interrupted here leaves no worker behind that would answer the next question with this answer
    worker, WORKERS.worker = getattr(WORKERS, "worker", None) or Worker(), None
    try:
        verdict = worker.ask([target, answer, seconds])
    except ChildProcessError as error:
        return None, str(error)
    WORKERS.worker = worker
    return verdict["score"], verdict["note"]


class Worker:
    """A process that answers a line of JSON with a line of JSON, and ends with the thread that asks.

    Modules in the folder that it is started from, or that the caller works in, are not seen by it.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "kvarena.tasks.graders.comparison"]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  closed when the process is
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, cwd="/", start_new_session=True
        )
        self.end = weakref.finalize(self, _end, self.process, self.errors)

    def ask(self, question: Any) -> Any:
        given, got = cast(Any, self.process.stdin), cast(Any, self.process.stdout)
        try:
            given.write(json.dumps(question).encode() + b"\n")
            given.flush()
            line = got.readline()
        except BrokenPipeError:
            line = b""
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.errors.seek(0)
        reason = self.errors.read().decode(errors="replace").strip().rpartition("\n")[2][:200]
        self.end()
        if code == -signal.SIGALRM:
            raise ChildProcessError("timeout")
        raise ChildProcessError(f"error: the comparison ended with {code}{reason and ': '}{reason}")


def _end(process: subprocess.Popen, errors: IO[bytes]) -> None:
    process.kill()
    process.wait()
    errors.close()
    with suppress(BrokenPipeError):  # of a question that it did not live to read
        cast(Any, process.stdin).close()
    cast(Any, process.stdout).close()
