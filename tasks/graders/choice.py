"""Multiple choice: the letter in the last box."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..task import Grade
from .completion import EMPTY, after_thought, last_box, same_text

MACROS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|boldsymbol|bf|rm)\b|[{}$\\]")
LETTER = re.compile(r"(?:option |choice |answer:? )?[(\[]?([a-z])[)\]]?(?:[.:)\]].*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ChoiceGrader:
    r"""B, (B), \text{B}, B. and `B. its text` all choose B; two letters choose none."""

    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        content, fault = last_box(after_thought(completion))
        found = LETTER.fullmatch(MACROS.sub("", content).strip()) if not fault else None
        if not found:
            note = fault or f"no letter: {content[:40]!r}"
            return Grade(score=0.0, answer=content, note=note, second_opinion=0.0)
        letter = found.group(1).upper()
        return Grade(score=float(letter == target), answer=letter, second_opinion=float(same_text(content, target)))
