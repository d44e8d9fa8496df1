"""A loop of assignments to digit variables, run line by line.

Each step repeats its line and then the value of every variable, and each round repeats the lines of the round before:
of what an eviction drops, most has been said elsewhere.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .answer import AnswerGrader, find_pair_fault, join_pairs
from .problems import Problem
from .vocabulary import LETTERS

DIGITS = tuple("0123456789")
OPERATORS = "+-"
MAX_COUNT = 99  # lines and rounds are numbered by one word


class Line(NamedTuple):
    target: str
    left: str  # a variable
    operator: str
    right: str  # a variable or a digit

    def __str__(self) -> str:
        return f"{self.target} = {self.left} {self.operator} {self.right}"


@dataclass(frozen=True, kw_only=True)
class Assignments:
    num_variables: int
    num_lines: int
    num_rounds: int

    def __post_init__(self) -> None:
        if not 2 <= self.num_variables <= len(LETTERS):
            raise ValueError(f"num_variables={self.num_variables}: choose from 2 to {len(LETTERS)}")
        for name in ("num_lines", "num_rounds"):
            if not 1 <= getattr(self, name) <= MAX_COUNT:
                raise ValueError(f"{name}={getattr(self, name)}: choose from 1 to {MAX_COUNT}")

    @property
    def name(self) -> str:
        return f"assignments-{self.num_variables}v{self.num_lines}l{self.num_rounds}r"

    def problem(self, seed: int) -> Problem:
        rng = random.Random(f"{self.name}-{seed}")
        variables = rng.sample(LETTERS, self.num_variables)
        start = {variable: rng.choice(DIGITS) for variable in variables}
        lines = [self._line(rng, variables) for _ in range(self.num_lines)]
        chain, state = _run(lines, start, self.num_rounds)
        steps = " ; ".join(f"step {number} : {line}" for number, line in enumerate(lines, 1))
        return Problem(
            question=f"start {join_pairs(start)} do {self.num_rounds} of {self.num_lines} {steps}",
            chain=chain,
            answer=join_pairs(state),
            meta={"start": start, "lines": [list(line) for line in lines], "rounds": self.num_rounds},
        )

    def _line(self, rng: random.Random, variables: list[str]) -> Line:
        left, other = rng.sample(variables, 2)
        right = other if rng.random() < 0.7 else rng.choice(DIGITS[1:])
        return Line(rng.choice(variables), left, rng.choice(OPERATORS), right)


def _run(lines: list[Line], start: Mapping[str, str], num_rounds: int) -> tuple[str, dict[str, str]]:
    """All rounds: what is said on the way, and the values at the end."""
    state, steps = dict(start), [f"state {join_pairs(start)}"]
    for count in range(num_rounds, 0, -1):
        for number, line in enumerate(lines, 1):
            left, right = state[line.left], state.get(line.right, line.right)
            state[line.target] = _compute(left, line.operator, right)
            sums = f"{left} {line.operator} {right} = {state[line.target]}"
            steps.append(f"count {count} step {number} of {len(lines)} : {line} = {sums} state {join_pairs(state)}")
    return " ".join([*steps, "count 0 end"]), state


def _compute(left: str, operator: str, right: str) -> str:
    return str((int(left) + (int(right) if operator == "+" else -int(right))) % 10)


@dataclass(frozen=True, kw_only=True)
class StateGrader(AnswerGrader):
    """The program is run again; the variables may be named in any order."""

    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        fault = find_pair_fault(words, meta["start"], DIGITS)
        if fault:
            return fault
        _, state = _run([Line(*line) for line in meta["lines"]], meta["start"], meta["rounds"])
        wrong = [name for name, value in zip(words[::2], words[1::2], strict=True) if state[name] != value]
        return f"{wrong[0]} is {state[wrong[0]]}" if wrong else ""
