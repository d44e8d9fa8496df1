"""A run as it was asked for: `build` makes a `Job` of a config.

Beside it stands what serves it: its provenance, an estimate of its cost, its progress, its sweep, its loggers, and what
it asks of workers.
"""

from .job import Job, build

__all__ = ["Job", "build"]
