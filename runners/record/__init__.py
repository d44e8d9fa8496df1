"""What a run leaves on disk: run.json, a `Record` a line, and a lock while it goes on. No torch."""

from .lock import Locked, locked
from .record import Record, RunFolder, append_line, parse, replace

__all__ = ["Locked", "Record", "RunFolder", "append_line", "locked", "parse", "replace"]
