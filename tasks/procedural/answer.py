"""What the graders of the generated tasks share: reading an answer out of a completion, answers made of pairs."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..task import Grade
from ..thought import CLOSE, UNFINISHED, unfinished

EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class AnswerGrader(ABC):
    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        return grade_answer(completion, meta, self.find_fault)

    @abstractmethod
    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        """What is wrong with an answer; nothing if it is right."""


def grade_answer(
    completion: str, meta: Mapping[str, Any], find_fault: Callable[[list[str], Mapping[str, Any]], str]
) -> Grade:
    """Right if no fault is found in the words after the last thought."""
    if not meta:
        raise ValueError("meta is empty: an answer is checked against the problem in the meta of its sample")
    if unfinished(completion):
        return Grade(score=0.0, answer="", note=UNFINISHED)
    _, end, tail = completion.rpartition(CLOSE)
    words = tail.split("<|im_end|>")[0].split() if end else []
    note = find_fault(words, meta) if words else "no answer"
    return Grade(score=float(not note), answer=" ".join(words), note=note)


def find_pair_fault(words: list[str], keys: Collection[str], values: Collection[str]) -> str:
    """What is wrong with `key value key value ...` whatever it means; every key once, in any order."""
    for place, word in enumerate(words):
        if word not in (values if place % 2 else keys):
            return f"malformed: {word[:20]!r} is no {'value' if place % 2 else 'key'}"
    if len(words) % 2:
        return f"malformed: nothing follows {words[-1]}"
    repeated = [key for key, count in Counter(words[::2]).items() if count > 1]
    missing = [key for key in keys if key not in words[::2]]
    if repeated:
        return f"says {repeated[0]} twice"
    return f"says nothing of {missing[0]}" if missing else ""


def join_words(words: Iterable[object]) -> str:
    return " ".join(map(str, words))


def join_pairs(pairs: Mapping[str, object]) -> str:
    """`key value key value ...`, as `find_pair_fault` reads it."""
    return " ".join(f"{key} {value}" for key, value in pairs.items())
