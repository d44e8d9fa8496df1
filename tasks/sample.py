"""One question of a task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Sample:
    id: str  # stable over runs: resume, pairing and noise are keyed by it
    question: str
    target: str
    meta: Mapping[str, Any] = field(default_factory=dict)  # what the grader needs beyond the target
    prompt_ids: Sequence[int] = ()  # the prompt as token ids; none: question, template and chat template make it
    completions: Sequence[Sequence[int]] = ()  # token ids that are forced, of each draw; none: the model's own
