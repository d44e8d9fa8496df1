"""What is asked and what counts as right: the verdict on one completion, and the task that holds samples and grader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Annotated, Any, Protocol

from annotated_types import MinLen

from .rows import PLAIN, Reader
from .sample import Sample
from .sources import read_jsonl
from .thought import OPEN, UNFINISHED, unfinished, without_marks


@dataclass(frozen=True, kw_only=True)
class Grade:
    score: float | None  # 1 right, 0 wrong, or the share that is; None: not judged (note says why), which is not wrong
    answer: str  # what was read out of the completion
    note: str = ""
    second_opinion: float | None = None  # 1 if answer and target are equal as text, 0 if not; None: no such opinion
    score_unfinished: float | None = None  # the same as score, had a thought without an end been graded too


class Grader(Protocol):
    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = ...) -> Grade: ...


def check_grader(grader: object) -> None:
    """Refuse what no completion can be given to."""
    try:
        signature(grader).bind("completion", "target", {})  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        name = f"{type(grader).__module__}.{type(grader).__qualname__}"
        raise ValueError(f"grader: {name} is none, it cannot be called with completion, target and meta") from error


@dataclass(frozen=True, kw_only=True)
class Task:
    name: Annotated[str, MinLen(1)]
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
        check_grader(self.grader)
        if self.path is not None:
            object.__setattr__(self, "samples", read_jsonl(self.path, self.reader))

    @property
    def remote(self) -> bool:
        """Whether the samples have to be fetched from the hub."""
        return getattr(self.samples, "remote", False)

    @property
    def origin(self) -> Mapping[str, str]:
        """Commit of each data set of the hub that the samples come from; empty for files and generated tasks."""
        return getattr(self.samples, "commits", {})

    def grade(self, completion: str, sample: Sample, opened: bool = False) -> Grade:
        """The grader's verdict; 0 for a thought that has not ended, which the prompt may have `opened`."""
        text = OPEN + completion if opened else completion
        grade = self._grade(text, sample)
        if not unfinished(text):
            return replace(grade, score_unfinished=grade.score)
        anywhere = self._grade(without_marks(text), sample)
        if grade.score is not None:
            grade = replace(grade, score=0.0, answer="", note=UNFINISHED)
        return replace(grade, score_unfinished=anywhere.score)

    def _grade(self, text: str, sample: Sample) -> Grade:
        grade = self.grader(text, sample.target, sample.meta)
        if not isinstance(grade, Grade):
            raise ValueError(f"grader: {type(self.grader).__qualname__} gives {type(grade).__name__}, not a Grade")
        return grade

    def check(self, sample: Sample) -> None:
        """ValueError for a grader that cannot judge a completion, shown with an empty one."""
        try:
            self.grade("", sample)
        except Exception as error:  # whatever it raises, it would raise after hours
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"task.grader: no verdict on sample {sample.id} ({reason})") from error

    def prompt(self, sample: Sample) -> str:
        """The user's message for a sample, before the chat template."""
        return self.template.replace("{question}", sample.question)
