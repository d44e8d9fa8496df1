"""Everything in this process: one worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ..job import Job
from ..job.job import find_device
from ..job.workers import Workers
from .worker import Worker


@dataclass(frozen=True, kw_only=True)
class Local:
    num_workers: int = 1

    def __post_init__(self) -> None:
        if self.num_workers != 1:
            raise ValueError(f"num_workers={self.num_workers}: workers=local is one process, use workers=ray")

    def device(self, name: str) -> torch.device:
        return find_device(name)

    @contextmanager
    def open(self, job: Job, longest_prompt: int, output_dir: Path) -> Iterator[Workers]:
        worker = Worker(job=job, longest_prompt=longest_prompt, output_dir=output_dir)
        try:
            yield worker
        finally:
            worker.drop()  # for the next run of a sweep, and for other processes
