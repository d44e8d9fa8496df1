"""The runs below a folder, found by their run.json; records are read one run at a time, for they hold every token."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..runners.record import Record, RunFolder

REPORT = "report"  # what the report itself writes below RUNS_DIR
LABELS = ("task", "difficulty", "model", "method", "ratio", "tokens", "evicts", "selects", "protects_prompt")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str  # its folder, relative to RUNS_DIR
    folder: RunFolder
    header: dict[str, Any]  # run.json

    def __post_init__(self) -> None:
        missing = [name for name in ("labels", "num_samples", "num_draws") if name not in self.header]
        missing += [f"labels.{name}" for name in LABELS if name not in self.header.get("labels", LABELS)]
        if missing:
            raise ValueError(f"{self.folder.run_file} lacks {', '.join(missing)}: run it again, or move it away")

    @property
    def labels(self) -> dict[str, Any]:
        return self.header["labels"]

    @property
    def num_planned(self) -> int:
        return self.header["num_samples"] * self.header["num_draws"]

    def records(self) -> list[Record]:
        """What is finished; empty for a run that has only begun."""
        try:
            return self.folder.records()
        except (TypeError, json.JSONDecodeError) as error:
            path = self.folder.records_file
            raise ValueError(f"{path} holds a line that is no record ({error}): move the run away") from error

    def sessions(self) -> list[dict[str, Any]]:
        """One for each process that worked on the run; a torn last line is left out."""
        path = self.folder.sessions_file
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} holds a line that is no session ({error}): delete the line") from error


def load(runs_dir: Path) -> list[Run]:
    """All runs below the folder at any depth, sorted by their place."""
    if not runs_dir.is_dir():
        raise ValueError(f"RUNS_DIR={runs_dir} is not a folder: give the one that the runs were written below")
    paths = sorted(path.parent for path in runs_dir.rglob("run.json"))
    runs = [read(path, runs_dir) for path in paths if REPORT not in path.relative_to(runs_dir).parts]
    if not runs:
        raise ValueError(f"RUNS_DIR={runs_dir}: no run.json below it, give the folder that the runs were written below")
    return runs


def read(path: Path, runs_dir: Path) -> Run:
    folder = RunFolder(path=path)
    try:
        header = folder.run()
    except json.JSONDecodeError as error:
        raise ValueError(f"{folder.run_file} is not JSON ({error}): move the run away") from error
    return Run(name=path.relative_to(runs_dir).as_posix(), folder=folder, header=header)
