"""Samples from rows, and rows from a local file: a JSON object a line.

`pkg://PACKAGE/FILE` is a file that an installed package brings.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from .rows import PLAIN, Reader
from .sample import Sample

IN_PACKAGE = "pkg://"


class Row(NamedTuple):
    place: str  # for messages
    values: Mapping[str, Any]


def read_jsonl(path: str, reader: Reader = PLAIN) -> list[Sample]:
    file = Path(path) if not path.startswith(IN_PACKAGE) else in_package(path.removeprefix(IN_PACKAGE))
    if not file.is_file():
        raise ValueError(f"task.path={path}: no such file")
    return read_rows(read_lines(file, path), reader, f"task.path={path}")


def in_package(path: str) -> Traversable:
    """A file that an installed package brings: of pkg://PACKAGE/FILE what comes after pkg://."""
    package, _, name = path.partition("/")
    try:
        return files(package) / name
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"task.path={IN_PACKAGE}{path}: there is no package {package!r} ({error})") from error


def read_rows(rows: Iterable[Row], reader: Reader, source: str) -> list[Sample]:
    """The task's samples among rows; a row that cannot be read, or an id that came before, is refused by its place."""
    samples: dict[str, Sample] = {}
    for number, row in enumerate(rows):
        try:
            sample = reader(row.values, number)
        except KeyError as error:
            there = ", ".join(row.values)
            raise ValueError(f"{row.place}: {error.args[0]} missing; there are {there or 'no fields'}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{row.place}: {error}") from error
        if sample is None:
            continue
        _check(sample, row.place)
        if sample.id in samples:
            raise ValueError(f"{row.place}: id {sample.id} stands there more than once")
        samples[sample.id] = sample
    if not samples:
        raise ValueError(f"{source}: no sample in it")
    return list(samples.values())


def _check(sample: Sample, place: str) -> None:
    """What a run can ask, and write down."""
    if not sample.question.strip():
        raise ValueError(f"{place}: the question is empty")
    if not sample.id:
        raise ValueError(f"{place}: the id is empty")
    if not isinstance(sample.meta, Mapping):
        raise ValueError(f"{place}: meta is no JSON object but {sample.meta!r}")
    try:
        f"{sample.id} {sample.question} {sample.target}".encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{place}: half of a surrogate pair, which is no text ({error})") from error


def read_lines(file: Traversable, name: str) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _parse(line, f"{name}:{number}")


def _parse(line: bytes, place: str) -> Row:
    try:
        values = json.loads(line.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise ValueError(f"{place}: not UTF-8 ({error})") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place}: no JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{place}: no JSON object")
    return Row(place, values)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")
