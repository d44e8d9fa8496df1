"""What a completion says: the part after the thought, its last box, its last program; and answers compared as text."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

EMPTY: Mapping[str, Any] = MappingProxyType({})  # the meta of a sample that needs none
LONGEST = 2000  # characters of an answer that are worth judging


def after_thought(completion: str) -> str:
    """All that follows the last </think>; the whole of a completion that has none."""
    return completion.rpartition("</think>")[2]


def last_box(text: str) -> tuple[str, str]:
    r"""Content of the last \boxed{}, and what is wrong with it, if anything; an earlier box is never taken instead."""
    start = text.rfind("\\boxed")
    if start < 0:
        return "", "no \\boxed answer"
    rest = text[start + len("\\boxed") :].lstrip()
    content, closed = _braced(rest) if rest.startswith("{") else (_token(rest), True)
    content = content.strip()
    if not closed:
        return content[:LONGEST], "the last \\boxed is not closed"
    if not content:
        return "", "the last \\boxed is empty"
    if len(content) > LONGEST:
        return content[:LONGEST], f"the answer is longer than {LONGEST} characters"
    return content, ""


def _braced(text: str) -> tuple[str, bool]:
    """What stands between the first brace and its partner; whether there is a partner."""
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)  # \{ and \} are letters
        if depth == 0 and brace.group() == "}":
            return text[1 : brace.start()], True
    return text[1:], False


def _token(text: str) -> str:
    r"""TeX takes \boxed 7 for \boxed{7}; a number is taken whole."""
    found = re.match(r"-?\d+|\w", text)
    return found.group() if found else ""


def last_program(text: str) -> str:
    """What stands last between a line that starts with ``` and the next such line, which is bare; empty if nothing."""
    blocks = re.findall(r"^[ \t]*```[^\n]*\n((?:(?![ \t]*```)[^\n]*\n)*)[ \t]*```[ \t]*$", text, re.MULTILINE)
    return blocks[-1] if blocks else ""


def same_text(answer: str, target: str) -> bool:
    """Equal but for case, spaces, dollar signs, degrees, units in text, and the ways to write a fraction or bracket."""
    return plain(answer) == plain(target)


def plain(text: str) -> str:
    text = text.casefold()
    text = re.sub(r"\\(left|right|,|!|;|:|displaystyle)|\^\{?\\circ\}?|[$\s]|\\?[$%]", "", text)
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"(?<=\d)(\\(text|mbox|mathrm)\{[^{}]*\}(\^\d)?)$", "", text)
    text = re.sub(r"\\(text|mbox|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\2", text)
    text = re.sub(r"(?<=\d)(,|\{,\})(?=\d{3}(\D|$))", "", text)
    text = re.sub(r"(?<=[_^])\{(\w)\}", r"\1", text)
    return text.rstrip(".")
