"""Which tokens of a completion are its answer: those of its last box, or what follows its thought."""

import re
from collections.abc import Sequence

import numpy as np

OPEN, CLOSE, BOX = "<think>", "</think>", "\\boxed"


def answer_tokens(pieces: Sequence[str]) -> np.ndarray:
    r"""[T] bool, of the text of each token: the last \boxed{...} behind the thought, else all behind </think>.

    Nowhere in a thought that has not ended, nor in a text that has neither.
    """
    text = "".join(pieces)
    ends = np.cumsum([len(piece) for piece in pieces])
    start, stop = answer_span(text)
    return (ends > start) & (ends - [len(piece) for piece in pieces] < stop)


def answer_span(text: str) -> tuple[int, int]:
    """From a character to another; empty where nobody knows."""
    if text.rfind(OPEN) > text.rfind(CLOSE):
        return 0, 0
    thought = text.rfind(CLOSE) + len(CLOSE) if CLOSE in text else 0
    box = text.rfind(BOX, thought)
    if box >= 0:
        return box, box_end(text, box)
    return (thought, len(text)) if thought else (0, 0)


def box_end(text: str, start: int) -> int:
    r"""Behind the brace that closes a box; of one that is not closed, or has no brace, the end of the text."""
    depth = 0
    for brace in re.compile(r"\\.|[{}]").finditer(text, start + len(BOX)):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)  # \{ and \} are letters
        if depth == 0 and brace.group() == "}":
            return brace.end()
    return len(text)
