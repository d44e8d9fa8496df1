"""Writing that a crash or a full disk leaves whole: what returned is on the disk, what did not has changed nothing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append_line(path: Path, *values: Mapping[str, Any]) -> None:
    """A line each, all on the disk when this returns, or none: what a full disk tears is cut off at once."""
    data = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()
    new = not path.exists()
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            write_all(file.fileno(), data)
        except OSError as error:
            os.ftruncate(file.fileno(), before)
            raise no_room(error, path) from error
    if new:
        sync_folder(path.parent)


def check_appends(path: Path) -> None:
    """OSError where no line can be added, before what takes long has made one; nothing is left but folders."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a"):
        pass
    if new:
        path.unlink()


def make_folder(path: Path, key: str) -> None:
    """With those above it; ValueError where a file is in its place. `key`: how it was given."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{key}={path} is a file, or below one: give a folder") from error


def write_all(descriptor: int, data: bytes) -> None:
    """Until the device has it."""
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file by way of a temporary one beside it, so that it is never half there.

    A device or a pipe, such as /dev/null, stays what it is and is written to.
    """
    content = content.encode() if isinstance(content, str) else content
    if path.is_char_device() or path.is_fifo():
        path.write_bytes(content)
        return
    temporary = path.with_suffix(path.suffix + ".tmp")
    try:
        try:
            with temporary.open("wb", buffering=0) as file:
                write_all(file.fileno(), content)
        except FileNotFoundError as error:
            raise ValueError(f"{path}: there is no folder {path.parent}, make it first") from error
        except OSError as error:
            raise no_room(error, path) from error
        temporary.replace(path)
    finally:  # a signal may have come before
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def no_room(error: OSError, path: Path) -> OSError:
    return OSError(
        error.errno, f"{error.strerror}, what was there is kept: make room and run the same again", str(path)
    )


def sync_folder(folder: Path) -> None:
    """A new name in a folder is on the disk only when the folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
