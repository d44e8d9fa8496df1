"""What is asked and what counts as right: a sample, the verdict on one completion, and the task that holds both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Sample:
    id: str  # stable over runs: resume, pairing and noise are keyed by it
    question: str
    target: str
    meta: Mapping[str, Any] = field(default_factory=dict)  # what the grader needs beyond the target


@dataclass(frozen=True, kw_only=True)
class Grade:
    score: float | None  # 1 right, 0 wrong; None: could not be judged (note says why), which is not wrong
    answer: str  # what was read out of the completion
    note: str = ""


class Grader(Protocol):
    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = ...) -> Grade: ...


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str
    samples: Sequence[Sample]
    grader: Grader
    path: str | None = None  # a local file of samples (tasks/sources.py) in place of `samples`
    template: str = "{question}"  # the user's turn of the chat
    dense_length: int  # mean tokens of prompt and completion without compression: the unit of compression.ratio
    max_tokens: int  # tokens a completion may have

    def __post_init__(self) -> None:
        if "{question}" not in self.template:
            raise ValueError(f"task.template={self.template!r} has no place for {{question}}")
        for name in ("dense_length", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"task.{name}={getattr(self, name)}: at least 1 is needed")

    def prompt(self, sample: Sample) -> str:
        """The user's message for a sample, before the chat template."""
        return self.template.replace("{question}", sample.question)
