"""The texts that are forced: the completions of a run, or those of a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from ...tasks.sample import Sample
from ...tasks.task import Task
from ..record import DENSE, Labels, RunFolder

FORM = '{"id": "...", "prompt_ids": [...], "completion_ids": [...]}'


class Texts(Sequence[Sample]):
    """Samples in order; a subclass reads them."""

    read: Any

    @cached_property
    def _samples(self) -> list[Sample]:
        return list(self.read())

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        return self._samples[index]

    def __len__(self) -> int:
        return len(self._samples)


@dataclass(kw_only=True, eq=False)
class TextFile(Texts):
    """A JSON object a line: id, prompt_ids and completion_ids."""

    path: str

    @property
    def name(self) -> str:
        return Path(self.path).stem

    def read(self) -> Iterator[Sample]:
        try:
            lines = [line.decode() for line in Path(self.path).read_bytes().splitlines()]  # those of text are more
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"texts={self.path}: {error}") from error
        seen = set()
        for number, line in enumerate(lines, 1):
            name, prompt, completion = parse_text(line, f"texts={self.path}, line {number}")
            if name in seen:
                raise ValueError(f"texts={self.path}, line {number}: a second text of id {name!r}")
            seen.add(name)
            yield Sample(id=name, question="", target="", prompt_ids=prompt, completions=[completion])
        if not seen:
            raise ValueError(f"texts={self.path} is empty: a line is {FORM}")


def parse_text(line: str, place: str) -> tuple[str, list[int], list[int]]:
    try:
        text = json.loads(line)
        name, prompt, completion = text["id"], text["prompt_ids"], text["completion_ids"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place} is not {FORM}") from error
    if not (isinstance(name, str) and name and are_ids(prompt) and are_ids(completion)):
        raise ValueError(f"{place} is not {FORM}, with one token at least in each list")
    return name, prompt, completion


def are_ids(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(type(token) is int and token >= 0 for token in value)


@dataclass(kw_only=True, eq=False)
class Completions(Texts):
    """What a run of dense has said, all draws of it, with the prompts of its task."""

    run: str  # its folder
    task: Task  # as recorded

    def read(self) -> Iterator[Sample]:
        header, said = dense_run(self.run)
        for sample in self.task.samples[: header["num_samples"]]:
            keys = [(sample.id, draw) for draw in range(header["num_draws"])]
            if any(key not in said for key in keys):
                raise ValueError(f"reference={self.run} has no sample {sample.id}: its task has changed since")
            yield replace(sample, completions=[said[key] for key in keys])


def dense_run(path: str) -> tuple[Mapping[str, Any], Mapping[tuple[str, int], list[int]]]:
    """run.json and the token ids of each completion; ValueError for what is no whole run of dense."""
    folder = RunFolder(path=Path(path))
    if not folder.run_file.is_file():
        raise ValueError(f"reference={path}: no run.json there, give the folder of a run of method={DENSE}")
    header = folder.run()
    if not (labels := Labels.read(header, folder.run_file)).is_dense:
        raise ValueError(f"reference={path} is a run of method={labels.named}: fidelity is measured against {DENSE}")
    if missing := [name for name in ("config", "num_samples", "num_draws") if name not in header]:
        raise ValueError(f"{folder.run_file} lacks {', '.join(missing)}: run dense anew")
    if header["config"].get("reference") or header["config"].get("texts"):
        raise ValueError(f"reference={path} was forced itself: give the run of kvarena whose completions these are")
    said = {record.key: record.token_ids for record in folder.records()}
    if len(said) < (planned := header["num_samples"] * header["num_draws"]):
        raise ValueError(f"reference={path} is not finished ({len(said)} of {planned}): run the same again first")
    if silent := [sample for (sample, _), tokens in said.items() if not tokens]:
        raise ValueError(f"reference={path} has nothing said to {silent[0]}: there is nothing to compare")
    return header, said
