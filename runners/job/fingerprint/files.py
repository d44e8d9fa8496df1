"""Hashes of the files of a model folder, and of a repository in the hub's cache, where the name of a blob is its hash.

Large files are read once: their hash is kept in the user's cache, by path, size and time of change.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

LARGE = 2**26  # bytes; what is smaller is read faster than it is found
CONFIG = ("config.json", "generation_config.json", "adapter_config.json")
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "*.tiktoken", "chat_template.json", "chat_template.jinja"),
)
Made = TypeVar("Made")


def weight_files(folder: Path) -> tuple[str, ...]:
    """Patterns of what transformers reads of a folder: safetensors where there are any."""
    kind = "safetensors" if any(folder.glob("*.safetensors")) else "bin"
    return (*CONFIG, f"*.{kind}", f"*.{kind}.index.json")


def fingerprint(folder: Path, patterns: Iterable[str]) -> dict[str, str]:
    """The hash of each file, by name."""
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    return {path.name: blob(path) or sha256(path) for path in sorted(paths)}


def blob(path: Path) -> str | None:
    """What the hub's cache calls a file: its hash there. None for any other file."""
    there = path.resolve()
    return there.name if path.is_symlink() and there.parent.name == "blobs" else None


def sha256(path: Path) -> str:
    path, status = path.resolve(), path.stat()
    facts = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    note = cache() / f"{hashlib.sha256(str(path).encode()).hexdigest()}.json"
    if status.st_size >= LARGE and (known := noted(note, facts)):
        return known
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    if status.st_size >= LARGE:
        keep(note, facts | {"sha256": value})
    return value


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kvarena" / "sha256"


def noted(note: Path, facts: Mapping[str, Any]) -> str | None:
    try:
        there = json.loads(note.read_text())
    except (OSError, ValueError):
        return None
    return there.pop("sha256") if facts.items() <= there.items() else None


def keep(note: Path, facts: Mapping[str, Any]) -> None:
    """For the next run; where that cannot be written, it reads the file again."""
    temporary = note.with_suffix(f".{os.getpid()}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(facts))
        temporary.replace(note)
    except OSError:
        return


def background(work: Callable[[], Made]) -> "Future[Made]":
    """Do it beside what comes next; nobody waits for it at the end of the process."""
    future: Future[Made] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future
