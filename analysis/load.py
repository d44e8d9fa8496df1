"""The runs below a folder, found by their run.json.

`load("runs").to_pandas()` has a row for each completion. Records are read one at a time, for they hold every token.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ..runners.loops import Repetition, repetition
from ..runners.record import Labels, Record, RunFolder, Session, run_folders
from .header import checked
from .stats import Draw, Problem, by_draw, has_prompts, loops, over_draws, score


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str  # its folder, relative to RUNS_DIR
    folder: RunFolder
    header: dict[str, Any]  # run.json
    labels: Labels

    @property
    def num_planned(self) -> int:
        return self.header["num_samples"] * self.header["num_draws"]

    @property
    def is_whole(self) -> bool:
        """Whether all that was planned is recorded."""
        return len(self.outcomes) == self.num_planned

    @property
    def setting(self) -> tuple[str, str, str]:
        """What must be the same for two runs to be compared."""
        return self.labels.task, self.labels.difficulty or "", self.labels.model

    @property
    def config(self) -> dict[str, Any]:
        return self.header.get("config", {})

    @property
    def forces(self) -> bool:
        """Whether its texts were forced, so that it says how far a method drifts, and nothing of accuracy."""
        return any(self.config.get(key) for key in ("reference", "texts"))

    def records(self) -> Iterator[Record]:
        """What is finished, one at a time; none for a run that has only begun."""
        return self.folder.stream()

    @cached_property
    def outcomes(self) -> list[Record]:
        """The records without their tokens and texts, sorted; what old ones lack about repetition is computed."""
        records = sorted(self.folder.once_each(map(without_texts, self.records())), key=lambda record: record.key)
        for record in records:
            if (value := score(record)) is not None and not 0 <= value <= 1:
                raise ValueError(
                    f"{self.folder.records_file}: {record.sample} has score {value}, not 0 to 1: grade it again"
                )
        return records

    @cached_property
    def has_prompts(self) -> bool:
        """Whether every record says by a hash what was asked."""
        return has_prompts(self.outcomes)

    @cached_property
    def verdicts(self) -> dict[Draw, float]:
        """The score of each completion that has one."""
        return by_draw(self.outcomes, score)

    @cached_property
    def looping(self) -> dict[Draw, float]:
        """1 for each completion that ends in a loop, 0 for the others."""
        return by_draw(self.outcomes, loops)

    @cached_property
    def scores(self) -> dict[Problem, float]:
        """The mean score of each problem that has a verdict."""
        return over_draws(self.verdicts)

    @cached_property
    def loops(self) -> dict[Problem, float]:
        """The share of each problem's completions that end in a loop."""
        return over_draws(self.looping)

    def sessions(self) -> list[Session]:
        return self.folder.sessions()


class Runs(list[Run]):
    def to_pandas(self) -> pd.DataFrame:
        """One row a record, the labels of its run in front; tokens and texts are left out."""
        rows = [{"run": run.name, **asdict(run.labels), **asdict(record)} for run in self for record in run.outcomes]
        columns = ["run", *(field.name for field in (*fields(Labels), *fields(Record)))]
        return pd.DataFrame(rows, columns=columns).drop(columns=["token_ids", "completion"])


# what a forced text's record says token by token
BY_TOKEN = ("kl", "nll", "mass", "other", "pieces", "attention_error")


def without_texts(record: Record) -> Record:
    if any(getattr(record, name) is None for name in Repetition._fields):
        record = replace(record, **repetition(record.token_ids, record.completion)._asdict())
    return replace(record, token_ids=[], completion="", **dict.fromkeys(BY_TOKEN))


def load(runs_dir: str | Path) -> Runs:
    """All runs below the folder at any depth, sorted by their place."""
    runs_dir = Path(runs_dir)
    runs = Runs(read_run(path, runs_dir) for path in run_folders(runs_dir))
    if not runs:
        raise ValueError(f"RUNS_DIR={runs_dir}: no run.json below it, give the folder that the runs were written below")
    return runs


def read_run(path: Path, runs_dir: Path) -> Run:
    folder = RunFolder(path=path)
    run = folder.run()
    labels, header = Labels.read(run, folder.run_file), checked(run, folder.run_file)
    return Run(name=path.relative_to(runs_dir).as_posix(), folder=folder, header=header, labels=labels)
