"""SIGINT and SIGTERM end a run between two lines of its records, never within one; exit status 130 or 143."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def heard_by(handler: Handler) -> Iterator[None]:
    """Signals come to it inside, and go where they went before outside. Main thread only."""
    before: dict[int, Any] = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def leave(number: int, frame: FrameType | None = None) -> None:
    """At once: while libraries are imported nothing is to be put away, and some make another error of an exception."""
    say(number)
    os._exit(128 + number)


def say(number: int) -> None:
    """Not by print: the signal may have come inside of one."""
    os.write(2, f"kvarena: stopped by {signal.Signals(number).name}, the same command goes on\n".encode())


@dataclass(kw_only=True)
class Stop:
    """Raises SystemExit when a signal comes; in a shielded block, at its end."""

    shielded: bool = False
    pending: int | None = None

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        if self.shielded:
            self.pending = number
            return
        say(number)
        raise SystemExit(128 + number)

    @contextmanager
    def shield(self) -> Iterator[None]:
        self.shielded = True
        try:
            yield
        finally:
            self.shielded = False
        if self.pending is not None:
            self.handle(self.pending)

    @contextmanager
    def listen(self) -> Iterator["Stop"]:
        with heard_by(self.handle):
            yield self
