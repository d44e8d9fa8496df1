"""What is asked and what counts as right: the verdict on one completion, and the task that holds samples and grader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .rows import PLAIN, Reader
from .sample import Sample
from .sources import read_jsonl


@dataclass(frozen=True, kw_only=True)
class Grade:
    score: float | None  # 1 right, 0 wrong; None: could not be judged (note says why), which is not wrong
    answer: str  # what was read out of the completion
    note: str = ""
    second_opinion: float | None = None  # 1 if answer and target are equal as text, 0 if not; None: no such opinion


class Grader(Protocol):
    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = ...) -> Grade: ...


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str
    samples: Sequence[Sample]
    grader: Grader
    path: str | None = None  # a local file, whose rows take the place of `samples`
    reader: Reader = PLAIN  # of the rows of that file
    template: str = "{question}"  # the user's turn of the chat
    dense_length: int  # mean tokens of prompt and completion without compression: the unit of compression.ratio
    max_tokens: int  # tokens a completion may have

    def __post_init__(self) -> None:
        if "{question}" not in self.template:
            raise ValueError(f"task.template={self.template!r} has no place for {{question}}")
        for name in ("dense_length", "max_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"task.{name}={getattr(self, name)}: at least 1 is needed")
        if self.path is not None:
            object.__setattr__(self, "samples", read_jsonl(self.path, self.reader))

    @property
    def origin(self) -> Mapping[str, str]:
        """Commit of each data set of the hub that the samples come from; empty for files and generated tasks."""
        return getattr(self.samples, "commits", {})

    def prompt(self, sample: Sample) -> str:
        """The user's message for a sample, before the chat template."""
        return self.template.replace("{question}", sample.question)
