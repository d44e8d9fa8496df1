"""Samples from a local file: a JSON object a line with id, question and target, and meta where the grader wants it."""

import json
from collections import Counter
from pathlib import Path

from .task import Sample


def read_jsonl(path: str) -> list[Sample]:
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"task.path={path}: no such file")
    lines = file.read_text(encoding="utf-8").splitlines()
    samples = [_sample(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if doubled := [id for id, count in Counter(sample.id for sample in samples).items() if count > 1]:
        raise ValueError(f"task.path={path}: id {doubled[0]} stands there more than once")
    if not samples:
        raise ValueError(f"task.path={path}: no sample in it")
    return samples


def _sample(line: str, place: str) -> Sample:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: no JSON ({error})") from error
    if missing := [key for key in ("id", "question", "target") if key not in row]:
        raise ValueError(f"{place}: {', '.join(missing)} missing")
    return Sample(id=str(row["id"]), question=row["question"], target=str(row["target"]), meta=row.get("meta", {}))
