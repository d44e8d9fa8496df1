"""GPQA: multiple choice, its options in an order drawn anew for each question.

Rein et al. 2023, arXiv 2311.12022. The release names the right answer and three wrong ones; files made from it have
four options in the text of the question, often with the right one always in the same place.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .sample import Sample

LETTERS = "ABCD"
COLUMNS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
REQUEST = "Please reason step-by-step and put your choice letter without any other text with \\boxed{} in the end."
PRINTED = re.compile(r"(.*)\nA\. (.*?)\nB\. (.*?)\nC\. (.*?)\nD\. (.*?)\n\n([^\n]*\\boxed[^\n]*)\s*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class GPQA:
    """`meta["order"]` says where each option stood before: BDAC means that the new A is the old B."""

    seed: int = 0

    def __call__(self, row: Mapping[str, Any], place: int) -> Sample:
        if "Question" in row:
            id = str(row["Record ID"])
            stem, options = row["Question"], [row[column] for column in COLUMNS]
            right, request = "A", REQUEST
        else:
            id, right = str(row["id"]), row["answer"]
            stem, options, request = _printed(row["question"])
        order = list(LETTERS)
        random.Random(f"{self.seed}-{id}").shuffle(order)
        lines = [f"{new}. {options[LETTERS.index(old)].strip()}" for new, old in zip(LETTERS, order, strict=True)]
        question = "\n".join([stem.strip(), "", *lines, "", request])
        return Sample(id=id, question=question, target=LETTERS[order.index(right)], meta={"order": "".join(order)})


def _printed(question: str) -> tuple[str, list[str], str]:
    """The question, its options and the request that follows, of a text that holds all three."""
    found = PRINTED.fullmatch(question)
    if found is None:
        raise ValueError("question: no lines A. to D. and a request for \\boxed{} after them")
    stem, *options, request = found.groups()
    return stem, options, request
