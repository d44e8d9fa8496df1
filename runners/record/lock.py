"""One process at a time works on a run folder.

The lock is the kernel's (a POSIX record lock on the file `lock`), so it falls when its process dies. The file says who
holds it, for the process that is turned away, and for file systems on which another machine's lock is not seen.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from .files import no_room, write_all

NAME = "lock"
NOBODY = {"pid": None, "host": None, "inode": None}


class Locked(ValueError):
    """Another process works on the folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder; what a dead process left is taken over. Raises Locked where another process holds it.

    Where nothing was written in the meantime nothing is left, neither the lock nor the folders made for it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    # read through this one file only: closing a second one would drop a POSIX lock
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        free, owner = lock(file), read(file)
        if not free or owner["host"] not in (None, socket.gethostname()):
            advice = f", or delete {folder / NAME} if it is gone" if free else ""
            raise Locked(f"{folder} is worked on by process {owner['pid']} on {owner['host']}: wait for it{advice}")
        if owner["pid"] is not None:
            print(f"{folder}: process {owner['pid']} died here, going on in its place", flush=True)
        file.truncate(0)
        try:
            sign(file)
            yield
        finally:
            file.truncate(0)
            clear(folder, made)


def sign(file: TextIO) -> None:
    """Say in it who holds it."""
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "inode": os.fstat(file.fileno()).st_ino}
    try:
        write_all(file.fileno(), json.dumps(mine).encode())
    except OSError as error:
        raise no_room(error, Path(file.name)) from error


def clear(folder: Path, made: Iterable[Path]) -> None:
    """Where only the lock is there: it goes, and the folders made, the innermost first, up to one in use by now."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [NAME]:
            (folder / NAME).unlink()
            for path in made:
                path.rmdir()


def lock(file: TextIO) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of the two depends on the system
        return False
    # whoever held it may have left nothing, and the file that was opened is none any more
    return Path(file.name).exists() and Path(file.name).stat().st_ino == os.fstat(file.fileno()).st_ino


def read(file: TextIO) -> dict[str, Any]:
    """Who the file names: nobody where it is empty or torn, or was copied (a copy has another inode)."""
    file.seek(0)
    try:
        owner = json.loads(file.read())
    except json.JSONDecodeError:
        return NOBODY
    return owner if owner["inode"] == os.fstat(file.fileno()).st_ino else NOBODY
