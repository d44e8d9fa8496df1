"""Which span of a text is evicted: a clause of its prompt, or something planted in it that is not true of it.

A text with the span in it is what dense reads; without it, what a cache that forgets should be equal to.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from pydantic import NonNegativeInt, PositiveInt

from ...methods.settings import check_types
from ..generate import Request
from ..model import Tokenizer


class MarkedText(NamedTuple):
    sample: str
    tokens: list[int]  # prompt and completion, the span among them
    prompt: int  # tokens of it, the span among them where it stands there
    span: tuple[int, int]  # its first token, and behind its last

    def cut(self, after: int, recent: int) -> int:
        """The token before which the span is evicted, `after` behind it and behind the prompt.

        ValueError where the span is among the newest tokens, which no method drops.
        """
        start, end = self.span
        cut = max(end, self.prompt) + after
        if cut - end < recent:
            raise ValueError(
                f"after={after}: tokens {start} to {end} of sample {self.sample} overlap the recent window of {recent} "
                f"before token {cut}, which no method evicts; raise after, or lower recent"
            )
        return cut


@dataclass(frozen=True, kw_only=True)
class Span(ABC):
    def __post_init__(self) -> None:
        check_types("span", self)

    @abstractmethod
    def mark(self, text: Request, other: Request, tokenizer: Tokenizer) -> MarkedText:
        """`other`: another problem of the task, for what is foreign; ValueError where the text has no such span."""


@dataclass(frozen=True, kw_only=True)
class OfPrompt(Span):
    """Tokens of the prompt by their places."""

    start: NonNegativeInt
    end: NonNegativeInt  # behind the last

    def mark(self, text: Request, other: Request, tokenizer: Tokenizer) -> MarkedText:
        if not self.start < self.end <= len(text.prompt):
            raise ValueError(
                f"span.start={self.start} span.end={self.end}: the prompt of sample {text.sample} has "
                f"{len(text.prompt)} tokens, give a span inside it"
            )
        return MarkedText(text.sample, joined(text), len(text.prompt), (self.start, self.end))


@dataclass(frozen=True, kw_only=True)
class Clause(Span):
    """One of the prompt's clauses, drawn: from one separator to the next."""

    separator: str

    def mark(self, text: Request, other: Request, tokenizer: Tokenizer) -> MarkedText:
        span = random.Random(f"clause {text.sample}").choice(clauses(text, self.separator, tokenizer))
        return MarkedText(text.sample, joined(text), len(text.prompt), span)


@dataclass(frozen=True, kw_only=True)
class Distractor(Span):
    """A clause of another problem, planted between two of the prompt's own."""

    separator: str

    def mark(self, text: Request, other: Request, tokenizer: Tokenizer) -> MarkedText:
        draw = random.Random(f"distractor {text.sample}")
        start, end = draw.choice(clauses(other, self.separator, tokenizer))
        place, _ = draw.choice(clauses(text, self.separator, tokenizer))
        return planted(text, place, other.prompt[start:end])


@dataclass(frozen=True, kw_only=True)
class WrongStep(Span):
    """The newest tokens of a chain once more with other values: each number another one of the text.

    Where there is no number among them, each single letter.
    """

    tokens: PositiveInt
    place: PositiveInt  # tokens that the chain has said before it

    def mark(self, text: Request, other: Request, tokenizer: Tokenizer) -> MarkedText:
        if len(text.completion) <= self.place or self.place < self.tokens:
            raise ValueError(
                f"span.place={self.place}: the chain of sample {text.sample} has {len(text.completion)} tokens, "
                f"and the span is of {self.tokens} before that place"
            )
        piece, whole = text.completion[self.place - self.tokens : self.place], joined(text)
        words = {token: spelt_one(tokenizer, token) for token in {*whole}}
        for is_value in (str.isdigit, is_letter):
            values = sorted(token for token, word in words.items() if is_value(word))
            if len(values) > 1 and (held := {*piece} & {*values}):
                draw = random.Random(f"wrong {text.sample}")
                swap = {token: draw.choice([value for value in values if value != token]) for token in sorted(held)}
                wrong = [swap.get(token, token) for token in piece]
                return planted(text, len(text.prompt) + self.place, wrong)
        raise ValueError(
            f"span.place={self.place}: sample {text.sample} has no number or letter there, use another place"
        )


def spelt_one(tokenizer: Tokenizer, token: int) -> str:
    return str(tokenizer.decode([token])).strip()


def is_letter(word: str) -> bool:
    return len(word) == 1 and word.isalpha()


def joined(text: Request) -> list[int]:
    return [*text.prompt, *text.completion]


def planted(text: Request, place: int, tokens: Sequence[int]) -> MarkedText:
    """The text with these before its token `place`."""
    whole, prompt = joined(text), len(text.prompt)
    inside = len(tokens) if place < prompt else 0
    return MarkedText(
        text.sample, [*whole[:place], *tokens, *whole[place:]], prompt + inside, (place, place + len(tokens))
    )


def clauses(text: Request, separator: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """From each separator of the prompt to the next; ValueError where there is no such part."""
    ends = {token for token in {*text.prompt} if spelt_one(tokenizer, token).endswith(separator)}
    places = [place for place, token in enumerate(text.prompt) if token in ends]
    if len(places) < 2:
        raise ValueError(
            f"span.separator={separator!r}: it stands {len(places)} times in the prompt of sample {text.sample}, and a "
            "clause needs two; use another separator or span"
        )
    return list(pairwise(places))
