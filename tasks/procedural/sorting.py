"""Numbers put in order by insertion.

Each step says the sorted list and what is left over, then walks along the sorted list up to the place of the number
that it takes: nearly all that a step needs stands in the step before it.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .answer import AnswerGrader, join_words
from .problems import Problem

LARGEST = 99  # one word a number


@dataclass(frozen=True, kw_only=True)
class Sorting:
    num_numbers: int

    def __post_init__(self) -> None:
        if not 2 <= self.num_numbers <= LARGEST + 1:
            raise ValueError(f"num_numbers={self.num_numbers}: choose from 2 to {LARGEST + 1}")

    @property
    def name(self) -> str:
        return f"sorting-{self.num_numbers}n"

    def problem(self, seed: int) -> Problem:
        rng = random.Random(f"{self.name}-{seed}")
        numbers = rng.sample(range(LARGEST + 1), self.num_numbers)
        return Problem(
            question=f"sort {join_words(numbers)}",
            chain=_insert_all(numbers),
            answer=join_words(sorted(numbers)),
            meta={"numbers": numbers},
        )


def _insert_all(numbers: list[int]) -> str:
    steps = []
    for place, number in enumerate(numbers):
        ordered = sorted(numbers[:place])
        smaller = [other for other in ordered if other < number]
        walk = [f"{other} <" for other in smaller] + [f"{other} >" for other in ordered[len(smaller) :][:1]]
        steps.append(f"list {join_words(ordered)} next {join_words(numbers[place:])} take {number} : {' '.join(walk)}")
    return " ".join(" ".join([*steps, f"list {join_words(sorted(numbers))} next"]).split())


@dataclass(frozen=True, kw_only=True)
class OrderGrader(AnswerGrader):
    """Every number of the problem as often as there, none smaller than the one before it."""

    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        left = list(map(str, meta["numbers"]))
        for word in words:
            if word not in left:
                return f"{word[:20]!r} is no number that was left to be sorted"
            left.remove(word)
        if left:
            return f"{left[0]} is missing"
        for number, following in pairwise(map(int, words)):
            if number > following:
                return f"{number} stands before {following}"
        return ""
