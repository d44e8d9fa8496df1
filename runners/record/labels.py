"""How tables call a run: the part of run.json by which runs are sorted, compared and found again."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, FiniteFloat, TypeAdapter, with_config

from .checked import check

PLAIN = "plain"
DENSE = "full"  # the method that all others are compared to
ADVICE = "run it again, or move it away"
OBJECT = TypeAdapter(dict[str, Any])


@with_config(ConfigDict(strict=True))
@dataclass(frozen=True, kw_only=True)
class Labels:
    task: str
    difficulty: str | None  # null: the task has one only
    model: str
    method: str  # a file of conf/method
    ratio: FiniteFloat  # of the dense length to the budget, as asked or as it came out
    tokens: int | None  # the budget; null: dense
    evicts: bool
    selects: bool
    protects_prompt: bool
    cache: str = PLAIN  # how keys and values are stored; runs of before had no choice

    @classmethod
    def read(cls, run: Mapping[str, Any], file: Path) -> "Labels":
        """Those of a run.json; what it lacks, or has of another type, is a ValueError that names the file."""
        labels = check(run.get("labels", {}), OBJECT, file, ADVICE)
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        if missing := [f"labels.{name}" for name in needed if name not in labels]:
            raise ValueError(f"{file} lacks {', '.join(missing)}: {ADVICE}")
        return check(labels, TypeAdapter(cls), file, ADVICE)

    def written(self) -> dict[str, Any]:
        """As run.json has them: a plain cache is not said, as runs of before did not."""
        return {name: label for name, label in asdict(self).items() if (name, label) != ("cache", PLAIN)}

    @property
    def is_dense(self) -> bool:
        return self.method == DENSE and self.cache == PLAIN

    @property
    def named(self) -> str:
        """The method, and the cache where it packs: what tables tell rows by."""
        return self.method if self.cache == PLAIN else f"{self.method} + {self.cache}"
