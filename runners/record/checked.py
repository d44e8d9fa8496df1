"""JSON as it is on the disk, checked for what it has to be; whatever is not is one line that names the file."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

T = TypeVar("T")


def read_object(path: Path, what: str, advice: str) -> dict[str, Any]:
    """A file of one JSON object, in UTF-8."""
    refuse_folder(path, advice)
    try:
        found = from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): {advice}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no {what}, but {type(found).__name__}: {advice}")
    return found


def refuse_folder(path: Path, advice: str) -> None:
    """Of a file that is read, or is not there yet."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder, and has to be a file: {advice}")


def check(value: Any, adapter: TypeAdapter[T], path: Path, advice: str) -> T:
    """What was read from that file."""
    try:
        return adapter.validate_json(to_json(value, inf_nan_mode="constants"))
    except ValidationError as error:
        raise ValueError(f"{path}: {reason(error)}: {advice}") from error


def check_line(line: bytes, adapter: TypeAdapter[T], path: Path, what: str, advice: str) -> T:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        raise ValueError(f"{path} holds a line that is no {what} ({reason(error)}): {advice}") from error


def reason(error: ValidationError) -> str:
    """The first of what is wrong: where, and why."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, found["loc"])), found["msg"])))
