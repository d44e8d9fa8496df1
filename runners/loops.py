"""Repetition: does a completion end in one block said over and over, and how repetitive is it before that?

Loops are found on token ids, without the prompt; compression and lines on the text. Everything is linear in the length.

`vase_class` is the classification that VaSE's analysis script makes (arXiv 2606.03928), kept as a second opinion. Its
known errors: it looks at the last 500 characters only; a loop with a line break inside or a period above 40 characters
is missed; an answer in a script that is not Latin is garbage; a model that never writes </think> is always truncated.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

MAX_PERIOD = 2048
MIN_COPIES = 4
MIN_TOKENS = 64
STRICT_COPIES = 8
STRICT_TOKENS = 256
NGRAM = 4
WINDOW_TOKENS = 512
WINDOW_CHARACTERS = 1000
LAST_LINES = 200
NEAR = 0.8  # Jaccard similarity of character trigrams above which one line repeats another
PHRASE = re.compile(r"(.{10,40})\1{4,}")

VaseClass = Literal["ok", "truncated", "phrase_loop", "garbage"]


class Loop(NamedTuple):
    onset: int  # index of the first token of the repeating part
    period: int  # tokens


class Repetition(NamedTuple):
    """What a record says of a completion beside its loop; each share is between 0 and 1."""

    loop_strict: bool  # it ends in a loop of 8 copies and 256 tokens
    seq_rep_4: float  # share of 4-grams said before, in the worst window of 512 tokens
    distinct_4: float  # share of distinct 4-grams in the whole
    zlib_ratio: float  # bytes over compressed bytes, in the worst window of 1,000 characters
    repeated_lines: float  # share of lines that repeat or nearly repeat an earlier one, of the last 200
    vase_class: VaseClass


def repetition(tokens: Sequence[int], text: str) -> Repetition:
    strict = terminal_loop(tokens, min_copies=STRICT_COPIES, min_tokens=STRICT_TOKENS)
    return Repetition(
        loop_strict=strict is not None,
        seq_rep_4=max(seq_rep(tokens), default=0.0),
        distinct_4=distinct(tokens),
        zlib_ratio=max(zlib_ratios(text), default=0.0),
        repeated_lines=repeated_lines(text),
        vase_class=vase_class(text),
    )


def terminal_loop(
    tokens: Sequence[int], *, max_period: int = MAX_PERIOD, min_copies: int = MIN_COPIES, min_tokens: int = MIN_TOKENS
) -> Loop | None:
    """The smallest period that the sequence ends in, so many copies and tokens of it at least; None: no loop."""
    ids = np.asarray(tokens)
    for period in range(1, max_period + 1):
        length = max(min_copies * period, min_tokens)
        if length > len(ids):
            return None
        if np.array_equal(ids[period - length :], ids[-length:-period]):
            breaks = np.flatnonzero(ids[period:] != ids[:-period])
            return Loop(int(breaks[-1]) + 1 if len(breaks) else 0, period)
    return None


def distinct(tokens: Sequence[int], n: int = NGRAM) -> float:
    """The share of distinct n-grams; 1 where there is none."""
    grams = list(zip(*(tokens[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else 1.0


def seq_rep(tokens: Sequence[int], n: int = NGRAM, window: int = WINDOW_TOKENS) -> list[float]:
    """The share of n-grams said before, window by window."""
    return [1 - distinct(part, n) for part in windows(tokens, window)]


def zlib_ratios(text: str, window: int = WINDOW_CHARACTERS) -> list[float]:
    """Bytes over compressed bytes, window by window; the ratio of longer texts grows with their length."""
    parts = [part.encode(errors="replace") for part in windows(text, window)]
    return [len(part) / len(zlib.compress(part)) for part in parts]


def windows(whole: Any, size: int) -> list[Any]:
    """Whole windows, counted back from the end; a text shorter than one is a window of its own."""
    if len(whole) < size:
        return [whole] if len(whole) else []
    return [whole[i : i + size] for i in range(len(whole) % size, len(whole), size)]


def repeated_lines(text: str) -> float:
    """The share of the last 200 lines, blank ones aside, that are the same as an earlier one of them or nearly so."""
    lines = [line.strip() for line in text.splitlines() if line.strip()][-LAST_LINES:]
    seen: dict[str, frozenset[str]] = {}
    repeats = 0
    for line in lines:
        trigrams = frozenset(line[i : i + 3] for i in range(max(len(line) - 2, 1)))
        if line in seen or any(near(trigrams, other) for other in seen.values()):
            repeats += 1
        else:
            seen[line] = trigrams
    return repeats / len(lines) if lines else 0.0


def near(one: frozenset[str], other: frozenset[str]) -> bool:
    if min(len(one), len(other)) < NEAR * max(len(one), len(other)):
        return False
    common = len(one & other)
    return common >= NEAR * (len(one) + len(other) - common)


def vase_class(text: str) -> VaseClass:
    """The first that fits of garbage, phrase loop and truncated, else ok."""
    last = text[-200:]
    if sum(ord(sign) > 127 for sign in text[-100:]) > 30 or any(2 * last.count(sign) > len(last) for sign in set(last)):
        return "garbage"
    if PHRASE.search(text[-500:]):
        return "phrase_loop"
    return "ok" if "</think>" in text else "truncated"
