"""A row of a data set made into a sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .sample import Sample


class Reader(Protocol):
    def __call__(self, row: Mapping[str, Any], place: int) -> Sample | None:
        """`place` counts the rows from 0. None: not one of the task's. KeyError, ValueError: the row cannot be read."""
        ...


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column holds what."""

    id: str = "id"  # a row without this column is called by its place
    question: str = "question"
    target: str = "target"
    after: str = ""  # the target is what follows the last of this in its column
    meta: str = "meta"  # may be absent

    def __call__(self, row: Mapping[str, Any], place: int) -> Sample:
        question, target = row[self.question], _written(self.target, row[self.target])
        if not isinstance(question, str):
            raise ValueError(f"{self.question}: no text but {question!r}")
        if self.after:
            target = target.rpartition(self.after)[2]
        id = _written(self.id, row.get(self.id, place))
        return Sample(id=id, question=question, target=target.strip(), meta=row.get(self.meta, {}))


def _written(column: str, value: Any) -> str:
    """A number may stand for its text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{column}: no text or number but {value!r}")
    return str(value)


PLAIN = Columns()  # a row that names its columns as a sample does
