"""Everything in this process: one worker."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ..job import Job
from ..job.job import find_device
from ..job.workers import Workers
from ..parallel import ALONE, refusing_loss
from .orders import Load
from .team import number_of_processes, team_of
from .worker import Worker

# of a config: its worker is this process
HERE = {"workers": {"_target_": "kvarena.runners.workers.local.Local"}, "num_workers": 1}


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
        with staffed(job, longest_prompt, output_dir) as worker:
            yield worker


@contextmanager
def staffed(job: Job, longest_prompt: int, output_dir: Path) -> Iterator[Worker]:
    """The worker of this process, with those that hold other parts of its model."""
    size = job.config.get("tensor_parallel", 1)
    if number_of_processes() not in (1, size):
        raise ValueError(f"tensor_parallel={size}: torchrun has started {number_of_processes()} processes, use as many")
    with ExitStack() as stack:
        assert job.device
        team = team_of(size) if size > 1 else None
        if team:
            stack.enter_context(team.together())
            team.orders.give(Load(dict(job.config), job.labels.method, longest_prompt, os.getcwd()))
        with refusing_loss(size):
            ranks, orders = (team.meet(job.device), team.orders) if team else (ALONE, None)
            worker = Worker(job=job, longest_prompt=longest_prompt, output_dir=output_dir, ranks=ranks, orders=orders)
        stack.callback(worker.drop)  # for the next run of a sweep, and for other processes
        yield worker
