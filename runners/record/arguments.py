"""Arguments of a command whose mistakes end in one line, as those of Hydra's commands do."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import NoReturn


class LineParser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def positive(text: str) -> int:
    """A whole number of at least 1, as the type of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """The same of at least 0."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)
