"""questions.jsonl: what each sample of a run asks, a line each, for whoever reads its completions."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from .checked import check_line, refuse_folder
from .files import replace_file

NAME = "questions.jsonl"


class Question(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True, extra="forbid")  # type: ignore[misc]

    sample: str
    question: str


QUESTION = TypeAdapter(Question)


def write_questions(folder: Path, questions: Mapping[str, str]) -> None:
    """By sample, all of a run's: one that has grown has those of before among them."""
    lines = [Question(sample=sample, question=text) for sample, text in questions.items()]
    replace_file(folder / NAME, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def read_questions(folder: Path) -> dict[str, str]:
    """By sample; none of a run that was made before they were written."""
    file = folder / NAME
    refuse_folder(file, "delete it")
    if not file.exists():
        return {}
    with file.open("rb") as lines:
        found = [check_line(line, QUESTION, file, "question", "delete the file") for line in lines]
    return {each["sample"]: each["question"] for each in found}
