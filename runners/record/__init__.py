"""What a run leaves on disk: run.json, a `Record` a line, and a lock while it goes on. No torch."""

from .file_name import file_name
from .files import append_line, replace_file
from .labels import DENSE, Labels
from .lock import Locked, locked
from .record import Record, RunFolder, parse

__all__ = [
    "DENSE",
    "Labels",
    "Locked",
    "Record",
    "RunFolder",
    "append_line",
    "file_name",
    "locked",
    "parse",
    "replace_file",
]
