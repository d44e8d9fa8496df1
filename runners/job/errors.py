"""What the user or the machine got wrong, in one line."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hydra.errors import HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

from ..interrupt import Stop
from ..record import end_unread, readable
from .search_path import find_plugins

USER_ERRORS = (HydraException, OmegaConfBaseException, ValueError, OSError, MemoryError, ImportError)

LONGEST_MESSAGE = 1000  # characters of a message: what was given may be longer


def one_line(error: BaseException) -> str:
    """What went wrong, without the frames around it."""
    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ModuleNotFoundError) and error.name in ("ray", "wandb"):
        return f"{error}: pip install 'kvarena[{error.name}]'"
    text = " ".join(str(error).split("Config search path")[0].split())
    return (
        text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE // 2]} ... {text[-LONGEST_MESSAGE // 2 :]}"
    )


def printed(command: str, work: Callable[[], str]) -> int:
    """Print what it says; the exit status: 0, or 2 and one line for what the user or the machine got wrong."""
    try:
        print(work())
    except USER_ERRORS as error:
        print(f"{command}: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def one_line_errors(command: str = "kvarena") -> Iterator[None]:
    """Exit status 2; 141 where nobody reads any more."""
    try:
        yield
    except BrokenPipeError:
        end_unread()
    except USER_ERRORS as error:
        print(f"{command}: {one_line(error)}", file=sys.stderr)
        sys.exit(2)


def run_command(application: Callable[[], object]) -> None:
    """Run one that Hydra has decorated."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra would print lines of its own and exit with 1
    find_plugins()
    with one_line_errors(), readable():
        application()


def run_script(main: Callable[[], int | None]) -> NoReturn:
    """One that stands beside the commands, by the name of its file: what ends it before its time is one line."""
    name = Path(sys.argv[0]).name
    with Stop(command=name, then="what it has written stays").listen(), one_line_errors(name):
        sys.exit(main())
