"""What one process adds to a run, and what it takes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ..record import RunFolder, append_line
from . import provenance
from .progress import Progress
from .workers import Workers


@contextmanager
def session(folder: RunFolder, workers: Workers, progress: Progress) -> Iterator[None]:
    """One line of the sessions file says what this process took, and with what; also when it is stopped."""
    started, rows, tokens = datetime.now(UTC), progress.tally.rows, progress.tally.tokens
    commit, dirty = provenance.commit()
    try:
        yield
    finally:
        line = {
            "started": started.isoformat(timespec="seconds"),
            "wall_s": round(progress.seconds, 3),
            "tokens": progress.tally.tokens - tokens,
            "records": progress.tally.rows - rows,
            "steps": workers.steps,
            "batch_sizes": list(workers.batch_sizes),
            "commit": commit,
            "dirty": dirty,
        }
        if not isinstance(sys.exc_info()[1], OSError):  # a full disk takes no more
            append_line(folder.sessions_file, line | hardware(workers))


def hardware(workers: Workers) -> dict[str, Any]:
    split = {"rank_bytes": ranks} if any(ranks := [list(each) for each in workers.rank_bytes]) else {}
    return {"device": ", ".join(sorted(set(workers.devices))), "num_workers": len(workers.devices)} | split
