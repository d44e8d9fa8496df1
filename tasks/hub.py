"""Samples from data sets of the Hugging Face hub."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import hf_hub_download

from .rows import Columns, Reader
from .sample import Sample
from .sources import Row, read_lines, read_rows


@dataclass(frozen=True, kw_only=True)
class Hub(Sequence[Sample]):
    """Samples of data sets of the hub, one after the other; fetched when they are first asked for."""

    datasets: Sequence[str]
    config: str | None = None
    split: str | None = None  # null: the only one there is
    files: Sequence[str] = ()  # JSON lines to read in place of what the data set's own loader would build
    revision: str | None = None  # null: the newest
    reader: Reader = Columns()

    @cached_property
    def _fetched(self) -> tuple[list[Sample], dict[str, str]]:
        commits: dict[str, str] = {}
        rows = (row for name in self.datasets for row in self._rows(name, commits))
        return read_rows(rows, self.reader, ", ".join(self.datasets)), commits

    @property
    def commits(self) -> Mapping[str, str]:
        return self._fetched[1]

    def _rows(self, name: str, commits: dict[str, str]) -> Iterator[Row]:
        try:
            if self.files:
                paths = [
                    hf_hub_download(name, file, repo_type="dataset", revision=self.revision) for file in self.files
                ]
                commits[name] = Path(paths[0]).parent.name  # snapshots/<commit>/<file>
            else:
                data = self._only_split(name, load_dataset(name, self.config, split=self.split, revision=self.revision))
                commits[name] = _commit(data)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"data set {name} cannot be had from the hub ({reason}): use task.path=FILE.jsonl for a local copy"
            ) from error
        if self.files:
            for file, path in zip(self.files, paths, strict=True):
                yield from read_lines(path, f"{name}/{file}")
        else:
            for number, values in enumerate(data):
                yield Row(f"{name} row {number}", values)

    def _only_split(self, name: str, data: Dataset | DatasetDict) -> Dataset:
        if isinstance(data, Dataset):
            return data
        if len(data) > 1:
            raise ValueError(f"task.samples.split=null: choose one of {', '.join(data)}")
        return next(iter(data.values()))

    def __len__(self) -> int:
        return len(self._fetched[0])

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        return self._fetched[0][index]


def _commit(data: Dataset) -> str:
    """`datasets` keeps what it built in a folder named for the commit."""
    return Path(data.cache_files[0]["filename"]).parent.name
