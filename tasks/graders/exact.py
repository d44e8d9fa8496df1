"""An answer that is right only letter for letter, such as a word."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..task import Grade
from ..thought import UNFINISHED, after_thought, unfinished
from .completion import EMPTY, LONGEST, last_box, same_text


@dataclass(frozen=True, kw_only=True)
class ExactGrader:
    """The last box or, without any, all that follows the thought; equal to the target but for the spaces around it."""

    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        text = after_thought(completion)
        answer, fault = last_box(text) if "\\boxed" in text else (text.strip()[:LONGEST], "")
        if not fault and not answer:
            fault = UNFINISHED if unfinished(completion) else "no answer"
        score = float(not fault and answer == target.strip())
        return Grade(score=score, answer=answer, note=fault, second_opinion=float(same_text(answer, target)))
