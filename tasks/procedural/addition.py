"""The sum of several many-digit numbers: two at a time and digit by digit, the sums queueing behind the numbers.

A sum is needed again half a chain after it was worked out: the recall of far-back intermediate results. A number is a
list of `place digit`, the ones (place a) first, and is said once more when it is added.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answer import AnswerGrader, find_pair_fault, join_pairs
from .problems import Problem
from .vocabulary import LETTERS

MAX_NUMBERS = 50  # with their sums they are numbered by one word each


@dataclass(frozen=True, kw_only=True)
class Addition:
    num_numbers: int
    num_places: int  # of the sum, and so of each number, with leading zeros

    def __post_init__(self) -> None:
        if not 2 <= self.num_numbers <= MAX_NUMBERS:
            raise ValueError(f"num_numbers={self.num_numbers}: choose from 2 to {MAX_NUMBERS}")
        if not 2 <= self.num_places <= len(LETTERS):
            raise ValueError(f"num_places={self.num_places}: choose from 2 to {len(LETTERS)}")

    @property
    def name(self) -> str:
        return f"addition-{self.num_numbers}n{self.num_places}p"

    def problem(self, seed: int) -> Problem:
        rng = random.Random(f"{self.name}-{seed}")
        numbers = [rng.randrange(10**self.num_places // self.num_numbers) for _ in range(self.num_numbers)]
        queue, steps = [_digits(number, self.num_places) for number in numbers], []
        question = f"sum of {len(queue)} ; " + " ; ".join(_label(queue, place) for place in range(len(queue)))
        for place in range(0, 2 * self.num_numbers - 2, 2):
            columns, total = _add(queue[place], queue[place + 1])
            operands = f"add {_label(queue, place)} and {_label(queue, place + 1)}"
            queue.append(total)
            steps.append(f"{operands} ; {columns} is {_label(queue, -1)}")
        return Problem(question=question, chain=" ".join(steps), answer=_said(queue[-1]), meta=self._meta(numbers))

    def _meta(self, numbers: list[int]) -> dict[str, Any]:
        return {"numbers": numbers, "places": self.num_places}


def _digits(number: int, num_places: int) -> list[int]:
    return [number // 10**place % 10 for place in range(num_places)]


def _add(one: list[int], other: list[int]) -> tuple[str, list[int]]:
    """Column by column, a carry said by `up`: the text and the digits of the sum."""
    carry, columns, total = 0, [], []
    for letter, left, right in zip(LETTERS, one, other, strict=False):
        carry, digit = divmod(left + right + carry, 10)
        total.append(digit)
        columns.append(f"{letter} {left} + {right} = {digit} {'up' if carry else ';'}")
    return " ".join(columns), total


def _label(queue: list[list[int]], place: int) -> str:
    return f"{place % len(queue) + 1} : {_said(queue[place])}"


def _said(digits: list[int]) -> str:
    return join_pairs(dict(zip(LETTERS, digits, strict=False)))


@dataclass(frozen=True, kw_only=True)
class SumGrader(AnswerGrader):
    """The numbers are added again; the places may be named in any order."""

    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        fault = find_pair_fault(words, LETTERS[: meta["places"]], tuple("0123456789"))
        if fault:
            return fault
        total = sum(meta["numbers"])
        pairs = zip(words[::2], words[1::2], strict=True)
        said = sum(int(digit) * 10 ** LETTERS.index(letter) for letter, digit in pairs)
        return "" if said == total else f"says {said}, but the sum is {total}"
