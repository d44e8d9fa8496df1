"""SIGINT and SIGTERM end a run between two lines of its records, never within one; exit status 130 or 143."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(kw_only=True)
class Stop:
    """Raises SystemExit when a signal comes; in a shielded block, at its end."""

    shielded: bool = False
    pending: int | None = None

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        if self.shielded:
            self.pending = number
            return
        # not print: the signal may have come inside of one
        os.write(2, f"kvarena: stopped by {signal.Signals(number).name}, the same command goes on\n".encode())
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
        """Signals come here inside, and go where they went before outside. Main thread only."""
        before: dict[int, Any] = {number: signal.signal(number, self.handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
