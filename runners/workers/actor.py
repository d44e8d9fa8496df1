"""A process that decodes for a driver elsewhere: it loads the model once and works on what it is handed.

`ray_pool.py` is the driver's end.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import ray
from omegaconf import DictConfig

from ..generate import Request
from ..job import build
from ..record import Record
from .local import HERE, staffed
from .request_queue import RequestQueue
from .worker import Worker


class Reply(NamedTuple):
    """What an actor has to say after each piece of work."""

    actor: str  # "pid on host"
    device: str
    records: list[Record]
    lengths: list[int]  # tokens so far of the rows under way
    steps: int
    batch_size: int
    ranks: Sequence[dict[str, int]] = ()


class Actor:
    """A worker in a process of its own."""

    life: ExitStack  # of the worker
    worker: Worker
    queue: RequestQueue
    running: Iterator[list[Record]]

    def load(self, config: dict[str, Any], method: str, longest_prompt: int, folder: str) -> Reply:
        os.chdir(folder)  # paths of the config are relative to the driver's folder
        job = build(DictConfig(config | HERE), method)
        job.check()
        self.life = ExitStack()
        self.worker = self.life.enter_context(staffed(job, longest_prompt, Path()))
        self.queue = RequestQueue()
        self.running = iter(())
        return self.reply([])

    def work(self, requests: Sequence[Request]) -> Reply:
        """Decode until a row has ended, or the batch is halved."""
        self.queue.extend(requests)
        records = next(self.running, None)
        if records is None:  # all that there was had ended before these requests came
            self.running = self.worker.serve(self.queue)
            records = next(self.running)
        return self.reply(records)

    def reply(self, records: list[Record]) -> Reply:
        name = f"{os.getpid()} on {ray.util.get_node_ip_address()}"
        worker, (ranks,) = self.worker, self.worker.rank_bytes
        return Reply(name, worker.devices[0], records, worker.lengths(), worker.steps, worker.batch_size, ranks)
