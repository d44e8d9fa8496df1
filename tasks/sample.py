"""One question of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Sample:
    id: str  # stable over runs: resume, pairing and noise are keyed by it
    question: str
    target: str
    meta: Mapping[str, Any] = field(default_factory=dict)  # what the grader needs beyond the target
