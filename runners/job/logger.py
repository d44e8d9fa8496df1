"""Where a run is followed from afar. Whatever a logger does, the records are what counts, and no logger stops a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..record import Record


class Logger(Protocol):
    """A file of conf/logger."""

    def begin(self, name: str, identity: str, run: Mapping[str, Any], folder: Path) -> None:
        """The run named so has begun, or goes on: what stands in its run.json, and its folder."""
        ...

    def log(self, numbers: Mapping[str, float]) -> None:
        """How it stands."""
        ...

    def end(self, numbers: Mapping[str, float], records: Sequence[Record]) -> None:
        """How it ended, and all its records."""
        ...


class Silent:
    """Nowhere."""

    def begin(self, name: str, identity: str, run: Mapping[str, Any], folder: Path) -> None: ...

    def log(self, numbers: Mapping[str, float]) -> None: ...

    def end(self, numbers: Mapping[str, float], records: Sequence[Record]) -> None: ...
