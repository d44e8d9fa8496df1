"""The file a GGUF was cut into pieces from, and its hash."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

MAGIC = b"GGUF"
CHUNK = 2**24  # bytes


class Whole(NamedTuple):
    path: Path
    sha256: str
    num_bytes: int


def join(parts: Sequence[Path], folder: Path) -> Whole:
    """One file of all parts, the only one as it is, several copied one after the other into the folder."""
    check(parts)
    num_bytes = sum(part.stat().st_size for part in parts)
    if len(parts) == 1:
        with parts[0].open("rb") as file:
            return Whole(parts[0], hashlib.file_digest(file, "sha256").hexdigest(), num_bytes)
    require_space(folder, num_bytes)
    path, digest = folder / "whole.gguf", hashlib.sha256()
    with path.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    whole.write(chunk)
    return Whole(path, digest.hexdigest(), num_bytes)


def check(parts: Sequence[Path]) -> None:
    """Refuse what cannot be the pieces of one GGUF in their order, as far as names and first bytes tell."""
    for part in parts:
        if part.is_dir():
            raise ValueError(f"{part} is a folder: give the GGUF in it, or its parts in order")
        if not part.is_file():
            raise ValueError(f"{part}: no such file")
    for earlier, later in pairwise(parts):
        if words(earlier) == words(later) and numbers(earlier) >= numbers(later):
            raise ValueError(f"{later} is given after {earlier}: give the parts of a GGUF in order, each once")
        if first_bytes(later) == MAGIC:
            raise ValueError(f"{later} begins a GGUF of its own: give one GGUF, or the parts of one in order")
    if first_bytes(parts[0]) != MAGIC:
        raise ValueError(f"{parts[0]} is no GGUF, nor the first part of one: it does not begin with {MAGIC.decode()}")


def first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(MAGIC))


def numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(path))]


def words(path: Path) -> list[str]:
    return re.split(r"\d+", str(path))


def require_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise ValueError(f"{folder}: {num_bytes / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB free; make room")
