r"""Two formulas compared in value by math-verify, with what it needs told: exact numbers, and enough digits.

Decimals are read as fractions, and differences are computed to as many digits as the smallest number asks for, so that
no magnitude is lost. Inequalities in one variable are the sets that they describe.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import product
from typing import Any

from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from math_verify import verify
from sympy import (
    Eq,
    Expr,
    I,
    Integer,
    Intersection,
    Ne,
    Number,
    Pow,
    Set,
    Symbol,
    Union,
    log,
    nan,
    preorder_traversal,
    zoo,
)
from sympy.core.relational import Relational
from sympy.logic.boolalg import And

from .notation import PLACES, rounding

Value = Any  # of sympy, whose annotations know few of its attributes
PERCENT = re.compile(r"\\%$")
OR, AND = (
    re.compile(rf",?(?:\\text\{{,?{word}\}}|(?<![A-Za-z\\]){word}(?![A-Za-z])|\\(?:{signs})(?![A-Za-z]))")
    for word, signs in (("or", "lor|vee"), ("and", "land|wedge"))
)
ORDER = re.compile(r"[<>]|\\(?:le|ge|neq)(?![A-Za-z])")
DECIMAL = re.compile(r"(\d+)\.(\d+)")
COMMAND = re.compile(r"\\(?:text\{[^{}]*\}|[A-Za-z]+)")
DIGITS = 30  # that a difference is computed to, beyond those that the smallest number begins with
NEAR = 10.0 ** -(PLACES - 1)  # of the larger one; what is nearer may be a decimal of the other
IMAGINARY = Symbol("i", real=True)  # as the parser reads it


def same_value(target: str, answer: str, factor: Expr) -> bool:
    """`factor`: how many units of the target are one of the answer."""
    return any(_same(gold, given, factor) for gold, given in product(_forms(target, answer), _forms(answer, target)))


def _same(target: str, answer: str, factor: Expr) -> bool:
    gold, given = _read(_exact(target), answer), _read(_exact(answer), target)
    if gold is None or given is None:
        return False
    given = _times(given, factor)
    positive = _positive(gold, given)
    if _compare(gold, given) or (positive and _compare(gold.xreplace(positive), given.xreplace(positive))):
        return True
    places = rounding(target, answer)
    return places is not None and _compare(_read(target, answer), _times(_read(answer, target), factor), places)


def _forms(text: str, other: str) -> list[str]:
    """Where only one side is in percent, its number and a hundredth of it both count; plus or minus is both."""
    number = PERCENT.sub("", text)
    if "\\pm" in number and "," not in number:  # math-verify knows it, but not inside a fraction
        number = ",".join(number.replace("\\pm", sign) for sign in "+-")
    hundredth = PERCENT.search(text) and not PERCENT.search(other)
    return [number, f"\\frac{{{number}}}{{100}}"] if hundredth else [number]


def _exact(text: str) -> str:
    return DECIMAL.sub(lambda found: f"\\frac{{{found[1]}{found[2]}}}{{1{'0' * len(found[2])}}}", text)


def _times(value: Value, factor: Expr) -> Value:
    return value if factor == 1 else factor * value


def _read(text: str, other: str) -> Value | None:
    """None: no formula."""
    for link, join in ((OR, Union), (AND, Intersection)):
        if ORDER.search(text) and len(parts := link.split(text)) > 1:
            values = [_read(part, other) for part in parts]
            sets = [_set(value) for value in values if value is not None]
            return join(*sets) if len(sets) == len(parts) and all(isinstance(part, Set) for part in sets) else None
    letters = [COMMAND.sub("", text), COMMAND.sub("", other)]
    if ORDER.match(text):  # of the variable that only the other side names
        text = (re.findall("[A-Za-z]", letters[1]) or ["x"])[0] + text
    # a letter in both cases is two variables
    cased = any(letter.isupper() and letter.lower() in side for side in letters for letter in side)
    return _parse(OR.sub(",", AND.sub(",", text)), cased)


@lru_cache(maxsize=1024)  # a target is compared with many answers
def _parse(text: str, cased: bool) -> Value | None:
    config = ConversionConfig(interpret_as_mixed_fractions=False, lowercase_symbols=not cased)
    try:
        value: Value = latex2sympy(text, is_real=True, normalization_config=None, conversion_config=config)
        return value.xreplace({IMAGINARY: I}) if IMAGINARY in value.free_symbols else value
    except Exception:  # the parser raises what it likes
        return None


def _compare(gold: Value, given: Value, places: int = PLACES) -> bool:
    if any(value.has(zoo, nan) for value in (gold, given)) or _contradicts(given) or _implies(gold, given):
        return False
    orders = _orders(gold), _orders(given)
    if all(orders) and gold.free_symbols != given.free_symbols:
        return False
    gold, given = _set(gold), _set(given)
    if isinstance(gold, Ne) and isinstance(given, Ne):  # math-verify has no answer to these
        gold, given = Eq(*gold.args, evaluate=False), Eq(*given.args, evaluate=False)
    if _orders(gold) != _orders(given) or _apart(gold, given):
        return False
    return verify(
        gold,
        given,
        float_rounding=places,
        numeric_precision=DIGITS + _zeros(gold, given),
        timeout_seconds=None,
        raise_on_error=True,
    )


def _apart(gold: Value, given: Value) -> bool:
    """Two numbers of which a few digits show that they are different: nothing is left to simplify."""
    if not all(isinstance(value, Expr) and value.is_number and value.is_finite for value in (gold, given)):
        return False
    first, second = gold.evalf(DIGITS), given.evalf(DIGITS)
    return bool(0 not in (first, second) and abs(first - second) > NEAR * max(abs(first), abs(second)))


def _contradicts(value: Value) -> bool:
    """An equation of numbers that are not equal: 69 = 70."""
    sides = [side for equation in value.atoms(Eq) for side in equation.args if side.is_number]
    return isinstance(value, Eq | And) and not all(_compare(sides[0], side) for side in sides[1:])


def _implies(gold: Value, given: Value) -> bool:
    """An equation of a curve, 5x - 7y + 4 = 0, which says of nothing that it is 0; a + b = 0 says it of the sum."""
    if not isinstance(given, Eq) or isinstance(gold, Relational) or given.rhs != 0 or given.lhs.is_number:
        return False
    return bool(given.lhs.atoms(Number) - {Integer(-1)})


def _orders(value: Value) -> bool:
    """An inequality, or several that hold at once."""
    return isinstance(value, Relational | And) and not value.atoms(Eq)


def _set(value: Value) -> Value:
    """Inequalities in one variable, and what a variable is in, as the set."""
    if isinstance(value, Eq) and isinstance(value.rhs, Set):
        return value.rhs
    if _orders(value) and len(value.free_symbols) == 1:
        with suppress(NotImplementedError, TypeError):  # none that sympy can give
            return value.as_set()
    return value


def _positive(gold: Value, given: Value) -> dict[Symbol, Symbol]:
    r"""Variables that are under an even root or a logarithm, where both sides are real: \sqrt{1/n} is 1/\sqrt{n}."""
    under = {base for value in (gold, given) for base in _bases(value)}
    return {symbol: Symbol(symbol.name, positive=True) for symbol in under}


def _bases(value: Value) -> Iterator[Symbol]:
    for part in value.atoms(Pow, log):
        even = isinstance(part, log) or (part.exp.is_Rational and part.exp.q % 2 == 0)
        if even:
            powers = part.args[0].doit().as_powers_dict()
            yield from (base for base, power in powers.items() if base.is_Symbol and power % 2 != 0)


def _zeros(*values: Value) -> int:
    """How many the smallest number begins with, in decimals."""
    numbers = (part for value in values for part in preorder_traversal(value) if isinstance(part, Expr))
    sizes = [abs(part.evalf(2)) for part in numbers if part.is_number and part.is_finite]
    return max([0, *(-int(log(size, 10).evalf(2)) for size in sizes if size.is_Float and size > 0)])
