"""Weights & Biases (extra `wandb`): config, running numbers, the table of results, and run.json as an artifact.

`mode: offline` needs no account. A run that goes on continues its wandb run, for the id comes from its identity.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import wandb

from ..record import Record
from .identity import VOLATILE

COLUMNS = ("sample", "draw", "score", "answer", "target", "stop", "num_tokens", "num_evictions", "loop_onset")


# of run.json, beside labels and config; the rest would bury what two runs differ in, and is in the artifact
TOLD = ("identity", "labels", "num_samples", "num_draws", "commit", "dirty", "versions", "device", "num_workers")


@dataclass(kw_only=True)
class Wandb:
    project: str = "kvarena"
    entity: str | None = None  # null: the account's own
    mode: Literal["online", "offline"] = "online"
    group: str | None = None  # null: its task and model
    tags: list[str] = field(default_factory=list)
    timeout: float = 60  # s, for the first contact
    _run: Any = None
    _folder: Path = Path()

    def __post_init__(self) -> None:
        if self.mode not in ("online", "offline"):
            raise ValueError(f"logger.mode={self.mode}: use online or offline")

    def begin(self, name: str, identity: str, run: Mapping[str, Any], folder: Path) -> None:
        def start() -> None:
            self._run = wandb.init(
                project=self.project,
                entity=self.entity,
                group=self.group or task_and_model(run),
                job_type=run.get("labels", {}).get("method"),
                tags=self.tags,
                mode=self.mode,
                id=identity[:16],
                resume="allow",
                name=name,
                dir=folder,
                config=told(run),
                settings=wandb.Settings(silent=True, console="off", init_timeout=self.timeout),
            )
            self._run.define_metric("*", step_metric="rows")
            self._folder = folder

        self._try(start)

    def log(self, numbers: Mapping[str, float]) -> None:
        if self._run:
            self._try(lambda: self._run.log(dict(numbers)))

    def end(self, numbers: Mapping[str, float], records: Sequence[Record]) -> None:
        def finish() -> None:
            rows: list[Any] = [[getattr(record, column) for column in COLUMNS] for record in records]
            self._run.log({"results": wandb.Table(columns=list(COLUMNS), data=rows)})
            header = wandb.Artifact(f"run-{self._run.id}", type="run")
            header.add_file(str(self._folder / "run.json"))
            self._run.log_artifact(header)
            self._run.summary.update(dict(numbers))
            self._run.finish()

        if self._run:
            self._try(finish)
            self._run = None

    def _try(self, action: Callable[[], None]) -> None:
        """Say once what failed, then log no more: whatever wandb raises, the run goes on."""
        try:
            action()
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            print(f"kvarena: wandb is off from here on ({type(error).__name__}: {reason})", file=sys.stderr, flush=True)
            self._run = None


def told(run: Mapping[str, Any]) -> dict[str, Any]:
    """What wandb shows and compares of run.json: what decides of its config, and where it ran."""
    config = {key: value for key, value in run.get("config", {}).items() if key not in VOLATILE}
    labels = run.get("labels", {})
    method = " + ".join(labels[name] for name in ("method", "cache") if name in labels)  # as Labels.named
    return {key: run[key] for key in TOLD if key in run} | {"method": method, "config": config}


def task_and_model(run: Mapping[str, Any]) -> str | None:
    """As wandb groups runs whose methods compare."""
    labels = run.get("labels", {})
    task = "-".join(filter(None, (labels.get("task"), labels.get("difficulty"))))
    return f"{task}, {labels['model']}" if task else None
