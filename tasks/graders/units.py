r"""Units: 5.4 \text{ cents} is the number 5.4 and the unit cent, and is .054 dollars.

A unit on one side alone says nothing, as is the practice of the field; two units are one, or one is converted.
"""

import re
from typing import NamedTuple

from sympy import Expr, Integer, Symbol, pi
from sympy.physics import units

POWER = r"\^\{-?\d+\}"
DEGREE = r"\^\{\\circ\}"
PART = rf"(?:\\cdot|\\times|/)?\s*(?:\\text\{{[^{{}}]*\}}(?:{POWER})?|{DEGREE}\s*[CFK]?(?![A-Za-z])|\\dollar)\s*"
TAIL = re.compile(rf"(.+?)((?:{PART})+)", re.DOTALL)
HEAD = re.compile(r"([+-]?)(\\dollar|\\text\{(?:euro|sterling)\})\s*([+-]?[\d\\(.].*)", re.DOTALL)
PLAIN = re.compile(rf"(.*(?:[\d}})]|\\pi))( ?)([A-Za-z]+(?:[ /]+[A-Za-z]+)*(?:{POWER})?)", re.DOTALL)
OVER = re.compile(r"\\frac\{(\\text\{[^{}]*\})\}\{(\\text\{[^{}]*\})\}$")
SPELLINGS = [
    (re.compile(pattern), spelling)
    for pattern, spelling in [
        (r"\\text", " "),
        (r"\\dollar", " dollar "),
        (rf"{DEGREE}\s*C|degrees? +[Cc](?:elsius)?\b", " celsius "),
        (rf"{DEGREE}\s*F|degrees? +[Ff](?:ahrenheit)?\b", " fahrenheit "),
        (DEGREE, " degree "),
        (r"\b([AaPp])\.? ?[Mm]\b\.?", r" \1m "),
        (r"\bper\b", "/"),
        (r"(?<=\w)[} ]*\^\{(-?\d+)\}", r"^\1"),
    ]
]
TOKEN = re.compile(r"(/)|([A-Za-z]+)(?:\^(-?\d+))?")

LINKS = {"and", "or", "to", "is", "are", "if", "when", "for", "where", "with", "not", "than", "only", "no", "at", "by"}
SILENT = {"unit", "of", "the", "a", "an", "each"}
POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
SHORT = {"m", "g", "s", "h", "l", "L", "A", "V", "W", "N", "J", "K", "C"}  # after a space, or within \text{}
JOINED = {"cm", "mm", "km", "kg", "mg", "ft", "mph", "kph"}  # unlike two variables, though no space is before them
OWN = {
    "usd": Symbol("dollar"),
    "cent": Symbol("dollar") / 100,
    "degree": pi / 180 * Symbol("radian"),
    "radian": Symbol("radian"),
    "rad": Symbol("radian"),
    "in": units.inch,
    "sec": units.second,
    "min": units.minute,
    "hr": units.hour,
    "yr": units.year,
    "week": 7 * units.day,
    "lb": units.pound,
    "gallon": 4 * units.quart,
    "mph": units.mile / units.hour,
    "kph": units.kilometer / units.hour,
    "metre": units.meter,
    "litre": units.liter,
    "am": Symbol("am"),
    "pm": Symbol("pm"),
}
BASE = [units.meter, units.kilogram, units.second, units.ampere, units.kelvin]
NONE = Integer(1)


class Measured(NamedTuple):
    value: str
    unit: Expr  # 1: none


def measured(text: str) -> Measured:
    """An answer in the spelling of notation.py, without its unit; whole where it has none."""
    if found := HEAD.fullmatch(text):
        rest = measured(found.group(3))
        return Measured(found.group(1) + rest.value, (_product(found.group(2)) or NONE) * rest.unit)
    text = OVER.sub(r"\1/\2", text)
    if found := TAIL.fullmatch(text):
        value, tail = found.groups()
    elif (found := PLAIN.fullmatch(text)) and _are_units(found.group(3), bool(found.group(2))):
        value, tail = found.group(1, 3)
    else:
        return Measured(text, NONE)
    unit = _product(tail)
    return Measured(text, NONE) if unit is None else Measured(value, unit)


def ratio(unit: Expr, other: Expr) -> Expr | None:
    """How many of the other make one; None: they measure different things."""
    if NONE in (unit, other):
        return NONE
    factor = units.convert_to(unit / other, BASE)
    return factor if factor.is_number else None


def _product(text: str) -> Expr | None:
    """What the words multiply to; None where they say something else than a unit."""
    for pattern, spelling in SPELLINGS:
        text = pattern.sub(spelling, text)
    product, last, power, sign = NONE, NONE, 1, 1
    for over, word, raised in TOKEN.findall(text):
        if over:
            sign = -1
        elif word.lower() in LINKS:
            return None
        elif word.lower() in ("squared", "cubed"):
            product *= last ** (POWERS[word.lower()] - 1)
        elif word.lower() in POWERS:
            power = POWERS[word.lower()]
        elif _singular(word) not in SILENT:
            last = _unit(word) ** (sign * power * int(raised or 1))
            product, power = product * last, 1
    return product


def _unit(word: str) -> Expr:
    name = _singular(word)
    if name in OWN:
        return OWN[name]
    known = getattr(units, word if word in SHORT else name, None)
    return known if isinstance(known, units.Quantity) and (len(word) > 1 or word in SHORT) else Symbol(name)


def _singular(word: str) -> str:
    if len(word) < 3:
        return word if len(word) == 1 else word.lower()
    word = word.lower()
    return {"feet": "foot", "inches": "inch"}.get(word, word.removesuffix("s"))


def _are_units(text: str, spaced: bool) -> bool:
    """Words after a number that are no variables; without a space before them they have to be well known."""
    words = re.findall("[A-Za-z]+", re.sub(POWER, "", text))
    if not spaced:
        return all(
            word.lower() in JOINED or (len(word) > 3 and isinstance(_unit(word), units.Quantity)) for word in words
        )
    short = all(
        len(word) > 3 or word in SHORT or word.lower() in POWERS | OWN or _unit(word).has(units.Quantity)
        for word in words
    )
    return short or any(len(word) > 3 for word in words)
