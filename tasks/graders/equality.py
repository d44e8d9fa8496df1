r"""Whether two mathematical answers are equal in value: math-verify, after what it would drop has been compared.

That is: units, bases of numerals, sequences with dots, and numbers alone, which are compared as fractions.
"""

import re
from itertools import accumulate

from sympy import Expr, Integer

from .expressions import same_value
from .notation import compare_numbers, compare_words, normalise
from .units import measured, ratio

BASE = re.compile(r"([0-9a-zA-Z]*[0-9][0-9a-zA-Z]*)_\{?(\d+)\}?")
CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
DOTS = "\\ldots"
EDGE = r"(?:[,;+<>-]|\\cdot|\\times|\\le|\\ge)*"
PIECE = re.compile(rf"({EDGE})(.*?)({EDGE})", re.DOTALL)


def equal(target: str, answer: str) -> bool:
    target, answer = normalise(target), normalise(answer)
    if target == answer:
        return bool(target)
    for compare in (compare_words, _compare_sequences):
        if (verdict := compare(target, answer)) is not None:
            return verdict
    gold, given = measured(target), measured(answer)
    if any(one.value.endswith("%") and other.unit != 1 for one, other in ((gold, given), (given, gold))):
        return False
    factor = ratio(given.unit, gold.unit)
    if factor is not None and _equal_values(gold.value, given.value, factor):
        return True
    # what looks like a unit may be a variable
    return (gold.value, given.value) != (target, answer) and _equal_values(target, answer, Integer(1))


def _equal_values(target: str, answer: str, factor: Expr) -> bool:
    if factor == 1:
        target, answer = normalise(target), normalise(answer)  # 58,500 without its unit is a number
        for compare in (compare_numbers, _compare_bases, _compare_clocks):
            if (verdict := compare(target, answer)) is not None:
                return verdict
    return same_value(target, answer, factor)


def _compare_bases(target: str, answer: str) -> bool | None:
    """A numeral of a base has its value; what asks for one takes it without the base too."""
    first, second = BASE.fullmatch(target), BASE.fullmatch(answer)
    if not (first or second):
        return None
    if first and not second:
        return first[1] == answer
    try:
        values = [int(found[1], int(found[2])) if found else int(target) for found in (first, second)]
    except ValueError:  # no such base, no digits of it, or no number
        return False
    return values[0] == values[1]


def _compare_clocks(target: str, answer: str) -> bool | None:
    first, second = CLOCK.fullmatch(target), CLOCK.fullmatch(answer)
    if not first or not second:
        return None
    return [int(part or 0) for part in first.groups()] == [int(part or 0) for part in second.groups()]


def _compare_sequences(target: str, answer: str) -> bool | None:
    """Term for term, as far as they are written; what dots stand for is what stands around them."""
    if DOTS not in target and DOTS not in answer:
        return None
    pieces = [text.split(DOTS) for text in _unbracketed(target, answer)]
    return len(pieces[0]) == len(pieces[1]) and all(map(_same_piece, *pieces))


def _same_piece(target: str, answer: str) -> bool:
    found = [PIECE.fullmatch(text.strip()) for text in (target, answer)]
    (before, gold, after), (*edges, given, end) = (match.groups() for match in found if match)
    golds, givens = _terms(gold), _terms(given)
    return [before, after] == [*edges, end] and len(golds) == len(givens) and all(map(_same_term, golds, givens))


def _same_term(target: str, answer: str) -> bool:
    return target == answer or equal(target, answer)


def _unbracketed(target: str, answer: str) -> tuple[str, str]:
    """Both without the brackets that are around both."""
    for opening, closing in (("\\{", "\\}"), ("(", ")"), ("[", "]")):
        if all(text.startswith(opening) and text.endswith(closing) for text in (target, answer)):
            return target[len(opening) : -len(closing)], answer[len(opening) : -len(closing)]
    return target, answer


def _terms(text: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    deeper = {**dict.fromkeys("([{", 1), **dict.fromkeys(")]}", -1)}
    depths = accumulate(deeper.get(sign, 0) for sign in text)
    marked = ["\0" if sign == "," and depth == 0 else sign for sign, depth in zip(text, depths, strict=True)]
    return "".join(marked).split("\0")
