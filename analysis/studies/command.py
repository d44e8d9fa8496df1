"""A study as a command: what the user got wrong is one line, and how it is called; a signal is one, too."""

import sys
from collections.abc import Callable

from ...runners.interrupt import WHOLE, Stop

Main = Callable[[], int | None]


def study_command(main: Main, doc: str | None) -> int:
    """Its exit status; 2 for what the user got wrong. The usage is the line of its module's docstring that calls it."""
    try:
        with Stop(then=WHOLE).listen():
            return main() or 0
    except (ValueError, OSError) as error:
        usage = next(line.strip() for line in (doc or "").splitlines() if "python -m" in line)
        print(f"{' '.join(str(error).split())}; usage: {usage}", file=sys.stderr)
        return 2
