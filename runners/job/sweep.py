"""A sweep goes on past a combination that fails, and ends with what became of each; several processes can share it.

Each job writes its outcome as a line of one file, wherever its launcher ran it; the end of the sweep reads them.
"""

import atexit
import json
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, flag_override

from ..record import append_line
from .errors import one_line_errors
from .keys import Evaluation
from .schema import check_plain
from .sweep_configs import compose_once


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one combination."""

    status: Literal["done", "skipped", "planned", "failed"]
    name: str
    reason: str = ""
    folder: str = ""
    tokens: int = 0  # still to come, where planned
    hours: float | None = None  # of one GPU (or CPU worker) for them; None: no speed was measured yet
    device: str = ""  # whose hours they are, where it is not this one
    num_bytes: int = 0  # on the disk for them


class Summary(Callback):
    """Hydra's callback: collects outcomes in `file`, prints them at the end; exit status 1 if one failed.

    Also at the end of a sweep that is stopped, or whose launcher lost a job.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.made: list[Path] = []  # folders that a dry run takes away again, the deepest first
        self.nowhere: TemporaryDirectory[str] | None = None  # where it puts multirun.yaml

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with one_line_errors():  # what is wrong for all combinations, before a file is written
            check_plain(Evaluation, OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
            refuse_no_share(**config.share)
        if config.dry_run:
            self.made = [folder for folder in (self.file.parent, *self.file.parent.parents) if not folder.exists()]
            self.nowhere = TemporaryDirectory()
            with flag_override(config, "readonly", False):
                config.hydra.sweep.dir = self.nowhere.name
        atexit.register(self.show)
        compose_once()

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if config.hydra.mode == RunMode.MULTIRUN and isinstance(job_return.return_value, Outcome):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.file, asdict(job_return.return_value))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        atexit.unregister(self.show)
        outcomes = self.show()
        if any(outcome.status == "failed" for outcome in outcomes):
            sys.exit(1)

    def show(self) -> list[Outcome]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        outcomes = [Outcome(**json.loads(line)) for line in lines]
        print(summary(outcomes), flush=True)
        if self.nowhere:
            self.nowhere.cleanup()
            self.file.unlink(missing_ok=True)
            for folder in self.made:
                with suppress(OSError):  # not made yet, or another process has put something there
                    folder.rmdir()
        return outcomes


def refuse_no_share(index: int, of: int) -> None:
    if index >= of:
        raise ValueError(f"share.index={index}: use 0 to {of - 1}, with share.of={of}")


def in_share(number: int, index: int, of: int) -> bool:
    """Whether a combination is for this one of the processes that split a sweep.

    Each takes one of every `of` in a row, and the next time its neighbour: what one of them has seldom is a method,
    task or ratio of its own.
    """
    return (number + number // of) % of == index


def summary(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(outcome.status for outcome in outcomes)
    lines = [f"sweep of {len(outcomes)}: " + ", ".join(f"{count} {status}" for status, count in counts.items())]
    lines += [f"  {outcome.status:8}{outcome.name}: {outcome.reason}".removesuffix(": ") for outcome in outcomes]
    # one dense run serves all ratios, and is counted once
    planned = {outcome.folder: outcome for outcome in outcomes if outcome.status == "planned"}.values()
    if planned:
        lines.append("  " + total(planned))
    return "\n".join(lines)


def total(planned: Collection[Outcome]) -> str:
    hours, num_bytes = [each.hours for each in planned], sum(each.num_bytes for each in planned)
    devices = [each.device for each in planned]
    return f"{len(planned)} runs, {cost(sum(each.tokens for each in planned), hours, num_bytes, devices)} in all"


def cost(tokens: int, hours: Sequence[float | None], num_bytes: int, devices: Sequence[str] = ()) -> str:
    """`devices`: whose hours they are, empty for this one's."""
    known: dict[str, list[float]] = {}
    for each, device in zip(hours, devices or [""] * len(hours), strict=True):
        if each is not None:
            known.setdefault(device, []).append(each)
    missing = len(hours) - sum(map(len, known.values()))
    sums = [f"{short(sum(of))} GPU-hours" + (f" on an {device}" if device else "") for device, of in known.items()]
    rest = f" (without {missing} of unknown speed)" if missing else ""
    took = f"{' and '.join(sums)}{rest}" if known else "GPU-hours unknown: no speed was measured yet"
    return f"about {tokens:,} tokens, {short(num_bytes / 1e6)} MB, {took}"


def short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
