r"""One spelling for a mathematical answer: equal spellings of a value often, never one spelling of two values.

Numbers come out as numbers: 1 1/2 is \frac{3}{2}, 99\,774 is 99774, 1.5e-7 has its power of ten, 0.\overline{3} is
\frac{3}{9}. What is a number and nothing else is compared here, exactly.
"""

import re
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, chain

from .completion import braced
from .markup import bare, trim

FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|min|max|gcd|lcm"
WORDS = [
    (re.compile(pattern), command)
    for pattern, command in [
        (r"\*\*", "^"),
        (r"\*", r"\\cdot "),
        (r"(?<![\\A-Za-z])(pi|theta|alpha|beta|gamma|phi|infty)(?![A-Za-z])", r"\\\1 "),
        (r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
        (rf"(?<![\\A-Za-z])({FUNCTIONS})(?=\s*[(\d\\]|\s+[a-z]\b)", r"\\\1 "),
        (r"(?<![\\A-Za-z])sqrt(?![A-Za-z])", r"\\sqrt "),
        (r"(?<![\\A-Za-z])abs\(([^()]*)\)", r"|\1|"),
        (r"\\approx(?![a-z])", "="),
        (r"<=|\\leqslant(?![a-z])|\\leq(?![a-z])", r"\\le "),
        (r">=|\\geqslant(?![a-z])|\\geq(?![a-z])", r"\\ge "),
        (r"!=|\\not\s*=|\\ne(?![a-z])", r"\\neq "),
        (r"\\lt(?![a-z])", "<"),
        (r"\\gt(?![a-z])", ">"),
        (r"\+/-", r"\\pm "),
        (r"\+\s*-(?=\s*[\w\\.(])", "-"),
        (r"(?<=[\w)}])\s*-\s*-(?=\s*[\w\\.(])", "+"),
        (r"\\(?:[lc]?dots[cmbio]?)(?![a-z])|\.{3,}", r"\\ldots "),
        (r"\\[dtc]frac", r"\\frac"),
        (r"\\[td]binom", r"\\binom"),
        (r"\\varnothing", r"\\emptyset "),
        (r"\\langle(?![a-z])", "("),
        (r"\\rangle(?![a-z])", ")"),
        (r"\\l(?:brace|brack)(?![a-z])", r"\\{"),
        (r"\\r(?:brace|brack)(?![a-z])", r"\\}"),
        (r"\\degrees?(?![a-z])|\^\s*\{?\s*\\circ\s*\}?", r"^{\\circ}"),
        (r"(?<=[\d}])\s*(?:percent|pct)(?![a-z])|\\text\{(?:percent|pct)\}|(?<!\\)%", r"\\%"),
    ]
]
MATRIX = re.compile(r"[(\[]\s*\\begin\{(?:array\}\{[^{}]*|matrix|smallmatrix)\}(.*?)\\end\{\w+\}\s*[)\]]", re.DOTALL)
BUILDER = re.compile(r"\\\{\s*[a-zA-Z]\s*(?:\\mid|\\vert|:|\|)(.*)\\\}")
FRACTION = re.compile(r"\\frac(?![A-Za-z])")
REPEATING = re.compile(r"(\d+)\.(\d*)\\(?:overline|bar|dot)\s*\{(\d+)\}")
SCIENTIFIC = re.compile(r"(?<![A-Za-z\\}\d.])(\d+\.?\d*)[eE]([+-]?\d+)(?![\d.])")
MIXED = re.compile(r"(?<![\w.,}^)/\\])(\d+) ?\\frac\{(\d+)\}\{(\d+)\}|(?<![\w.,}^)/\\])(\d+) (\d+) ?/ ?(\d+)(?!\d)")
SPACED = re.compile(r"(?<![\d.,])(?<![\d.,] )\d{1,3}(?: \d{3})+(?!\d)(?! \d)")
COMMAS = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+)(\.\d+)?")
RATIO = re.compile(r"([+-]?)(?:\\frac\{([+-]?\d+)\}\{(\d+)\}|(\d+)/(\d+))")
DECIMALS = re.compile(r"\d+\.\d+")
PLACES = 6  # decimals that are taken for a value that has no end of them
DECIMAL = re.compile(r"[+-]?\d+(\.\d*)?")


def normalise(text: str) -> str:
    """In this spelling, which is its own."""
    text = bare(text)
    for word, command in WORDS:
        text = word.sub(command, text)
    text = MATRIX.sub(r"\\begin{pmatrix}\1\\end{pmatrix}", text)
    text = BUILDER.sub(r"\1", text)
    text = _arguments(text)
    text = re.sub(r"(?<!\d)\.(?=\d)", "0.", text)
    text = REPEATING.sub(_repeating, text)
    text = SCIENTIFIC.sub(r"(\1\\cdot 10^{\2})", text)
    text = SPACED.sub(lambda found: found.group().replace(" ", ""), MIXED.sub(_mixed, text))
    text = trim(re.sub(r"^\s*\+", "", text))
    # a space stays that keeps two numbers apart, or a word from what is before it
    text = re.sub(r"(?<![A-Za-z\d})]) | (?![A-Za-z\d])|(?<=[A-Za-z})]) (?=\d)", "", text)
    return text.replace(",", "") if COMMAS.fullmatch(text) else text


def compare_words(target: str, answer: str) -> bool | None:
    """Two words or phrases, whatever their case; None where one is something else."""
    words = [re.sub(r"\\text\{(.*)\}", r"\1", text) for text in (target, answer)]
    said = any(word != text or len(word) > 3 for word, text in zip(words, (target, answer), strict=True))
    if not said or not all(re.fullmatch(r"[A-Za-z][A-Za-z .'-]*", word) for word in words):
        return None
    return words[0].casefold().split() == words[1].casefold().split()


def compare_numbers(target: str, answer: str) -> bool | None:
    """Two numbers in this spelling, whatever their size; None where one is something else."""
    gold, given = exact(target), exact(answer)
    if gold is None or given is None:
        return None
    places = rounding(target, answer)
    if places is None or (_ends(gold) and _ends(given)):
        return gold == given
    return round(gold, places) == round(given, places)


def exact(text: str) -> Fraction | None:
    if DECIMAL.fullmatch(text):
        return Fraction(text)
    if found := RATIO.fullmatch(text):
        sign, *parts = found.groups()
        over, under = (int(part) for part in parts if part)
        return Fraction(-over if sign == "-" else over, under) if under else None
    return None


def rounding(target: str, answer: str) -> int | None:
    """Places that decimals on one side are held to where the other has none; None: both are as they stand."""
    literals = [DECIMALS.findall(text) for text in (target, answer)]
    long = [Decimal(number) for number in chain(*literals) if len(number.partition(".")[2]) >= PLACES]
    if not long or all(literals):
        return None
    return max(PLACES, 4 - min(number.adjusted() for number in long))


def _ends(value: Fraction) -> bool:
    """Whether its decimals do."""
    return 10**1000 % value.denominator == 0


def _arguments(text: str) -> str:
    r"""Braces around what \frac, \sqrt and ^ take."""
    text = re.sub(r"\^\s*(-?\d+|\\[A-Za-z]+|[A-Za-z](?![A-Za-z]))", r"^{\1}", text)
    text = re.sub(r"\\sqrt\s*(\d|[A-Za-z](?![A-Za-z]))", r"\\sqrt{\1}", text)
    for command in (r"\sqrt", "^"):
        text = _parentheses(text, command)
    start = 0
    while found := FRACTION.search(text, start):
        end = start = found.end()
        for _ in range(2):
            text, end = _brace(text, end)
    return text


def _brace(text: str, start: int) -> tuple[str, int]:
    """Braces around the argument that begins there, unless it has some; and where it ends."""
    argument = text[start:].lstrip()
    if argument.startswith("{"):
        content, _ = braced(argument)
        rest = argument[len(content) + 2 :]
    else:
        content = re.match(r"\\[A-Za-z]+|.?", argument).group()  # type: ignore[union-attr]
        rest = argument[len(content) :]
    done = f"{text[:start]}{{{content}}}"
    return done + rest, len(done)


def _parentheses(text: str, command: str) -> str:
    """Braces for the parentheses that follow a command: sqrt(2), x^(1/2)."""
    parts = text.split(command)
    for place, part in enumerate(parts[1:], 1):
        inner = part.lstrip()
        if inner.startswith("("):
            depth = list(accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in inner))
            if 0 in depth:
                end = depth.index(0)
                parts[place] = f"{{{inner[1:end]}}}{inner[end + 1 :]}"
    return command.join(parts)


def _repeating(found: re.Match[str]) -> str:
    whole, once, again = found.groups()
    over = int(whole + once + again) - int(whole + once)
    return f"\\frac{{{over}}}{{{10 ** len(once) * (10 ** len(again) - 1)}}}"


def _mixed(found: re.Match[str]) -> str:
    whole, over, under = (int(part) for part in found.groups() if part)
    return f"\\frac{{{whole * under + over}}}{{{under}}}"
