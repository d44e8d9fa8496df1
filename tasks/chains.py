"""Chains of problems: one prompt asks several, to be solved one after the other, and is right in part.

The answer to a problem is the last box below its heading. One that equals its target in value is written as the target
is, so that answer and target of a record, split at `BETWEEN`, say which places are right.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, overload

from .graders.completion import EMPTY, last_box
from .rows import PLAIN, Reader
from .sample import Sample
from .sources import read_jsonl
from .task import Grade
from .thought import after_thought

BETWEEN = " | "
HEADING = re.compile(r"^\W*problem\W{0,3}(\d+)\b", re.IGNORECASE | re.MULTILINE)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?|-?\.\d+")
LONGEST = 40  # characters of an answer


@dataclass(frozen=True, kw_only=True)
class Chains(Sequence[Sample]):
    """So many problems in a row are one sample; what is left over at the end is left out."""

    length: int
    problems: Sequence[Sample] = ()
    path: str | None = None  # a local file, whose rows take the place of `problems`
    reader: Reader = PLAIN  # of the rows of that file

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"task.samples.length={self.length}: use 1 or more")

    @property
    def remote(self) -> bool:
        return self.path is None and getattr(self.problems, "remote", False)

    @property
    def commits(self) -> Mapping[str, str]:
        return EMPTY if self.path else getattr(self.problems, "commits", EMPTY)

    @cached_property
    def _chains(self) -> list[Sample]:
        problems = read_jsonl(self.path, self.reader) if self.path else self.problems
        if len(problems) < self.length:
            raise ValueError(f"task.samples.length={self.length}: there are {len(problems)} problems, fewer")
        starts = range(0, len(problems) - self.length + 1, self.length)
        return [chain(problems[start : start + self.length]) for start in starts]

    def __len__(self) -> int:
        return len(self._chains)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        return self._chains[index]


def chain(problems: Sequence[Sample]) -> Sample:
    """Called by the first and the last of them."""
    return Sample(
        id=f"{problems[0].id}-{problems[-1].id}",
        question="\n\n".join(f"Problem {place}: {each.question}" for place, each in enumerate(problems, 1)),
        target=BETWEEN.join(each.target for each in problems),
    )


@dataclass(frozen=True, kw_only=True)
class ChainGrader:
    """The share of the problems whose number is right."""

    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        targets, said = target.split(BETWEEN), answers(after_thought(completion))
        found = [said.get(place, "") for place in range(1, len(targets) + 1)]
        pairs = list(zip(found, targets, strict=True))
        equal = [value(ours) is not None and value(ours) == value(theirs) for ours, theirs in pairs]
        spelt = [theirs if same else ours for (ours, theirs), same in zip(pairs, equal, strict=True)]
        return Grade(score=sum(equal) / len(equal), answer=BETWEEN.join(spelt))


def answers(text: str) -> dict[int, str]:
    """What stands in the last box below each heading, by its number; a box that is not closed is none."""
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    found: dict[int, str] = {}
    for heading, end in zip(headings, ends, strict=False):
        answer, fault = last_box(text[heading.end() : end])
        if not fault:
            found[int(heading[1])] = answer.replace("|", "/")[:LONGEST]
    return found


def value(answer: str) -> Decimal | None:
    """The number that an answer begins with, behind its last equals sign if it has one; None: there is none."""
    found = NUMBER.search(re.sub(r",|\\!|(?<=\d) (?=\d{3}\b)", "", answer.rpartition("=")[2]))
    return Decimal(found.group()) if found else None
