"""Samples from data sets of the Hugging Face hub."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, cast, overload

from huggingface_hub import hf_hub_download

from .reach import prepare
from .rows import PLAIN, Reader
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
    reader: Reader = PLAIN
    remote: ClassVar[bool] = True

    @cached_property
    def _fetched(self) -> tuple[list[Sample], dict[str, str]]:
        commits: dict[str, str] = {}
        rows = (row for name in self.datasets for row in self._rows(name, commits))
        return read_rows(rows, self.reader, ", ".join(self.datasets)), commits

    @property
    def commits(self) -> Mapping[str, str]:
        return self._fetched[1]

    def _rows(self, name: str, commits: dict[str, str]) -> Iterator[Row]:
        read = self._file_rows if self.files else self._table_rows
        prepare()
        try:
            commits[name], rows = read(name)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"data set {name} cannot be had from the hub ({reason}): "
                "give data_dir=FOLDER with a file of each task, or use task.path=FILE.jsonl for a local copy"
            ) from error
        yield from rows

    def _file_rows(self, name: str) -> tuple[str, Iterator[Row]]:
        paths = [hf_hub_download(name, file, repo_type="dataset", revision=self.revision) for file in self.files]
        rows = (row for path in paths for row in read_lines(Path(path), f"{name}/{Path(path).name}"))
        return Path(paths[0]).parent.name, rows  # snapshots/<commit>/<file>

    def _table_rows(self, name: str) -> tuple[str, Iterator[Row]]:
        # takes seconds to import, and a task that is read from a file needs none of it
        from datasets import Dataset, load_dataset

        data = load_dataset(name, self.config, split=self.split, revision=self.revision)
        if isinstance(data, dict):
            if len(data) > 1:
                raise ValueError(f"task.samples.split=null: choose one of {', '.join(map(str, data))}")
            data = next(iter(data.values()))
        table = cast(Dataset, data)
        # `datasets` keeps what it built in a folder named for the commit
        commit = Path(table.cache_files[0]["filename"]).parent.name
        return commit, (Row(f"{name} row {number}", cast(dict, row)) for number, row in enumerate(table))

    def __len__(self) -> int:
        return len(self._fetched[0])

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        return self._fetched[0][index]
