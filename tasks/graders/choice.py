"""Multiple choice: the letter in the last box."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..task import Grade
from .completion import EMPTY, boxed, same_text
from .markup import bare

MARKS = re.compile(r"\\(?:text|[a-z]+)(?=\{)|[{}\\*]|\s+")
SAID = r"(?:(?:(?!\b(?-i:[A-J])\b).)*\b(?:answer|option|choice)\b(?:\s+is)?\s*:?\s*)?"
LETTER = re.compile(rf"{SAID}[(\[]?([a-z])[)\]]?(?:\s*[.,:;)\]\-]\s*(.*)|\s+([(\[].*))?", re.IGNORECASE | re.DOTALL)
# after one letter: a second one, next to it, or in brackets that name no form of a molecule
SECOND = re.compile(
    rf"(?:and|or|&|/)?\s*{SAID}[(\[]?[a-j][)\]]?(?:[.,:;)]*|\s*(?:and|or|[,;&])\s.*)|.*[(\[](?-i:[A-J])[)\]](?!-).*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class ChoiceGrader:
    r"""B, (B), \text{B}, B. and `B. its text` all choose B; two letters choose none."""

    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        content, fault = boxed(completion)
        letter = chosen(content)
        if fault or not letter:
            note = fault or f"no letter: {content[:40]!r}"
            return Grade(score=0.0, answer=content, note=note, second_opinion=0.0)
        return Grade(score=float(letter == target), answer=letter, second_opinion=float(same_text(content, target)))


def chosen(content: str) -> str:
    """The one letter that is chosen; empty if none is, or several are."""
    found = LETTER.fullmatch(MARKS.sub(" ", bare(content)).strip())
    rest = (found[2] or found[3] or "").strip() if found else ""
    return found[1].upper() if found and not (rest and SECOND.fullmatch(rest)) else ""
