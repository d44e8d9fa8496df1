"""SIGINT and SIGTERM end a command with one line, and status 130 or 143; a run between two lines of its records.

A second signal ends it at once, wherever it is.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO = 1  # s in which a second one is no other: a terminal sends one, and who started the process hands it on
PATIENCE = 10  # s that the main thread has to end
WHOLE = "nothing is half written"  # of a command that begins anew

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def heard_by(handler: Handler) -> Iterator[None]:
    """Signals come to it inside and, unless it has put another in its place, go where they went outside.

    Main thread only.
    """
    before: dict[int, Any] = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) == handler:
                signal.signal(number, earlier)


@contextmanager
def shield() -> Iterator[None]:
    """A signal that comes inside is heard at the end. Main thread only."""
    came = list[int]()
    with heard_by(lambda number, frame: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[-1])


@dataclass(kw_only=True)
class Stop:
    """Raises SystemExit when a signal comes."""

    command: str = "kvarena"
    then: str = "the same command goes on"
    ended_by: int | None = None  # the signal

    def say(self, number: int) -> None:
        """Not by print: the signal may have come inside of one."""
        os.write(2, f"{self.command}: stopped by {signal.Signals(number).name}, {self.then}\n".encode())

    def leave(self, number: int, frame: FrameType | None = None) -> None:
        """At once: while libraries are imported nothing is to be put away, and some make another of an exception."""
        self.say(number)
        os._exit(128 + number)

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        since = time.monotonic()
        for each in SIGNALS:
            signal.signal(each, lambda number, _: time.monotonic() < since + ECHO or os._exit(128 + number))
        self.say(number)
        self.ended_by = number
        raise SystemExit(128 + number)

    @contextmanager
    def listen(self) -> Iterator["Stop"]:
        with heard_by(self.handle):
            try:
                yield self
            except SystemExit as error:  # Ray puts one of its own, of status 1, in the place of this one
                raise error if self.ended_by is None else SystemExit(128 + self.ended_by) from None


def end_deaf() -> None:
    """From now on a signal also ends a process whose main thread waits for what never comes. Main thread only."""
    heard, noted = os.pipe()
    os.set_blocking(noted, False)
    signal.set_wakeup_fd(noted)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}

    def wait() -> None:
        while (number := os.read(heard, 1)[0]) not in SIGNALS:
            pass
        time.sleep(PATIENCE)
        if signal.getsignal(number) == handlers[signal.Signals(number)]:
            Stop().say(number)
        os._exit(128 + number)

    Thread(target=wait, daemon=True).start()
