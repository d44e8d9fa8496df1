"""Repetition loops, on token ids: does a completion end in one block of tokens said over and over?"""

from collections.abc import Sequence
from typing import NamedTuple

MAX_PERIOD = 2048
MIN_COPIES = 4
MIN_TOKENS = 64


class Loop(NamedTuple):
    onset: int  # index of the first token of the repeating part
    period: int  # tokens


def terminal_loop(
    tokens: Sequence[int], *, max_period: int = MAX_PERIOD, min_copies: int = MIN_COPIES, min_tokens: int = MIN_TOKENS
) -> Loop | None:
    """The smallest period that the sequence ends in, so many copies and tokens of it at least; None: no loop. O(n)."""
    backwards = list(reversed(tokens))
    for period, match in enumerate(match_lengths(backwards)[1 : max_period + 1], start=1):
        if match + period >= max(min_copies * period, min_tokens):
            return Loop(len(tokens) - match - period, period)
    return None


def match_lengths(tokens: Sequence[int]) -> list[int]:
    """The Z-function: for each i, how many tokens from i on equal those from the start on."""
    lengths = [0] * len(tokens)
    left = right = 0
    for i in range(1, len(tokens)):
        length = min(lengths[i - left], right - i) if i < right else 0
        while i + length < len(tokens) and tokens[length] == tokens[i + length]:
            length += 1
        lengths[i] = length
        if i + length > right:
            left, right = i, i + length
    return lengths
