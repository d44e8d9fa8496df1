"""All that follows from some facts by a table of rules: forward chaining, round and round the table.

Each step says the facts known so far, the last rule that gave a new one and the next rule with its premises looked up;
the walk ends when it comes round to that last rule. A rule is said in every round.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .answer import AnswerGrader
from .problems import Problem
from .redrawn import Redrawn
from .vocabulary import LETTERS

MAX_RULES = 99  # numbered by one word


class Rule(NamedTuple):
    premises: list[str]
    conclusion: str

    def __str__(self) -> str:
        return f"{' '.join(self.premises)} then {self.conclusion}"


@dataclass(frozen=True, kw_only=True)
class Deduction(Redrawn):
    num_facts: int
    num_rules: int
    num_letters: int = len(LETTERS)  # of which facts and rules are made

    def __post_init__(self) -> None:
        if not 3 <= self.num_letters <= len(LETTERS):
            raise ValueError(f"num_letters={self.num_letters}: choose from 3 to {len(LETTERS)}")
        if not 1 <= self.num_facts < self.num_letters:
            raise ValueError(f"num_facts={self.num_facts}: choose from 1 to {self.num_letters - 1}")
        if not 2 <= self.num_rules <= MAX_RULES:
            raise ValueError(f"num_rules={self.num_rules}: choose from 2 to {MAX_RULES}")

    @property
    def name(self) -> str:
        return f"deduction-{self.num_facts}f{self.num_rules}r"

    def draw(self, rng: random.Random) -> Problem | None:
        letters = rng.sample(LETTERS, self.num_letters)
        facts, rules = letters[: self.num_facts], [_draw_rule(rng, letters) for _ in range(self.num_rules)]
        chain, known = _chain_forward(facts, rules)
        if len(known) == len(facts):
            return None
        table = " ; ".join(f"rule {number} : {rule}" for number, rule in enumerate(rules, 1))
        meta = {"facts": facts, "rules": [[rule.premises, rule.conclusion] for rule in rules]}
        question = f"fact {' '.join(facts)} of {len(rules)} {table}"
        return Problem(question=question, chain=chain, answer=" ".join(known), meta=meta)


def _draw_rule(rng: random.Random, letters: list[str]) -> Rule:
    *premises, conclusion = rng.sample(letters, rng.choice([2, 3]))
    return Rule(premises, conclusion)


def _chain_forward(facts: list[str], rules: list[Rule]) -> tuple[str, list[str]]:
    """What is said on the way, and the facts at the end."""
    known, steps, last, place = list(facts), [], 0, 0
    while place + 1 != last:
        rule, number = rules[place], place + 1
        marks = " ".join(f"{premise} {'yes' if premise in known else 'no'}" for premise in rule.premises)
        fires = all(premise in known for premise in rule.premises)
        verdict = "no" if not fires else "seen" if rule.conclusion in known else "new"
        said = f"fact {' '.join(known)} last {last} rule {number} of {len(rules)} :"
        steps.append(f"{said} {marks} then {rule.conclusion} {verdict}")
        if verdict == "new":
            known.append(rule.conclusion)
            last = number
        place = number % len(rules)
        if number == len(rules) and not last:
            break
    return " ".join([*steps, f"fact {' '.join(known)} last {last} rule {place + 1} end"]), known


@dataclass(frozen=True, kw_only=True)
class ClosureGrader(AnswerGrader):
    """The facts and all that follows from them, each once, in any order."""

    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        known = _close(set(meta["facts"]), meta["rules"])
        for word in words:
            if word not in known:
                return f"{word[:20]!r} does not follow"
        if len(set(words)) < len(words):
            return "says a fact twice"
        missing = sorted(known.difference(words))
        return f"{missing[0]} is missing" if missing else ""


def _close(known: set[str], rules: list[list[Any]]) -> set[str]:
    """Another way than the chain's: all rules at once, until nothing is new."""
    new = {conclusion for premises, conclusion in rules if known.issuperset(premises)} - known
    return _close(known | new, rules) if new else known
