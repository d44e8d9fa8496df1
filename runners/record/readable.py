"""What a command says, as far as anybody reads it: `head` has soon seen enough, and that is no error."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def readable() -> Iterator[None]:
    """Of what only says something: all was done, though not all was read."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        hush()


def end_unread() -> NoReturn:
    """Of what was still at work: it ends as SIGPIPE would have ended it."""
    hush()
    sys.exit(128 + signal.SIGPIPE)


def hush() -> None:
    """Say the rest to nobody, so that it is not tried again at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
