"""What a completion says: its last box, its last program, after the thought; and answers compared as text."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..thought import UNFINISHED, after_thought, unfinished

EMPTY: Mapping[str, Any] = MappingProxyType({})  # the meta of a sample that needs none
LONGEST = 2000  # characters of an answer that are worth judging
FENCE = re.compile(r"(?:[^`]|`{1,2}(?!`))*?(`{3,})([^`]*)")
PYTHON = re.compile(r"[ \t]*(?:python|py)\d*[ \t]*", re.IGNORECASE)


def boxed(completion: str) -> tuple[str, str]:
    """The answer that counts, and why there is none."""
    return ("", UNFINISHED) if unfinished(completion) else last_box(after_thought(completion))


def last_box(text: str) -> tuple[str, str]:
    r"""Content of the last \boxed{}, and what is wrong with it, if anything; an earlier box is never taken instead."""
    start = text.rfind("\\boxed")
    if start < 0:
        return "", "no \\boxed answer"
    rest = text[start + len("\\boxed") :].lstrip()
    content, closed = braced(rest) if rest.startswith("{") else (_token(rest), True)
    content = content.strip()
    if not closed:
        return content[:LONGEST], "the last \\boxed is not closed"
    if not content:
        return "", "the last \\boxed is empty"
    if len(content) > LONGEST:
        return content[:LONGEST], f"the answer is longer than {LONGEST} characters"
    return content, ""


def braced(text: str) -> tuple[str, bool]:
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
    """What stands last between two lines with a fence of three backticks or more; empty if nothing.

    Text may stand before the first fence and behind the second, which is no shorter. A second ```python begins anew:
    what the first opened was never closed.
    """
    program, block, opened = "", [], None
    for line in text.replace("\r\n", "\n").split("\n"):
        fence = FENCE.fullmatch(line)
        if opened and (not fence or len(fence[1]) < len(opened[1])):
            block.append(line)
        elif fence and opened and not PYTHON.fullmatch(fence[2]):
            program, opened = "".join(f"{line}\n" for line in block), None
        elif fence:
            block, opened = [], fence
    return program


def same_text(answer: str, target: str) -> bool:
    """Equal but for case, spaces, dollar signs, degrees, units in text, and the ways to write a fraction or bracket."""
    return plain(answer) == plain(target)


def plain(text: str) -> str:
    text = re.sub(r"(?<=\d) (?=\d+ */)", "+", text.casefold())  # 1 1/2 is not 11/2
    text = re.sub(r"\\(left|right|,|!|;|:|displaystyle)|\^\{?\\circ\}?|[$\s]|\\?[$%]", "", text)
    text = re.sub(r"\\[dtc]frac", r"\\frac", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"(?<=\d)(\\(text|mbox|mathrm)\{[^{}]*\}(\^\d)?)$", "", text)
    text = re.sub(r"\\(text|mbox|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\2", text)
    text = re.sub(r"(?<=\d)(,|\{,\})(?=\d{3}(\D|$))", "", text)
    text = re.sub(r"(?<=[_^])\{(\w)\}", r"\1", text)
    return text.rstrip(".")
