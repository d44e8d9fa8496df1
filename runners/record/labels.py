"""How tables call a run: the part of run.json by which runs are sorted, compared and found again."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

DENSE = "full"  # the method that all others are compared to


@dataclass(frozen=True, kw_only=True)
class Labels:
    task: str
    difficulty: str | None  # null: the task has one only
    model: str
    method: str  # a file of conf/method
    ratio: float  # of the dense length to the budget, as asked or as it came out
    tokens: int | None  # the budget; null: dense
    evicts: bool
    selects: bool
    protects_prompt: bool

    @classmethod
    def read(cls, run: Mapping[str, Any], file: object) -> "Labels":
        """Those of a run.json; what it lacks is a ValueError that names the file."""
        names, labels = [field.name for field in fields(cls)], run.get("labels", {})
        if missing := [f"labels.{name}" for name in names if name not in labels]:
            raise ValueError(f"{file} lacks {', '.join(missing)}: run it again, or move it away")
        return cls(**{name: labels[name] for name in names})

    @property
    def is_dense(self) -> bool:
        return self.method == DENSE
