"""One run on many GPUs or nodes, by Ray (extra `ray`): an actor a GPU loads the model once and works on what it gets.

The driver keeps the queue of what is left and hands it out a few rows at a time: as many as an actor decodes at once
and `SPARE` more, so that no row is ever idle. It alone writes. An actor that dies is replaced and its rows go back to
the queue; noise is keyed by sample and draw, so they come out the same.
"""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from ..generate import Request
from ..job import Job
from ..job.workers import Workers
from ..record import Record
from .actor import Actor, Reply
from .knock import refuse_silence
from .request_queue import Key, RequestQueue

SPARE = 2  # rows that wait at an actor
PATIENCE = 3  # deaths for each worker, with no record between; all may die at once, with their node


@dataclass(kw_only=True)
class ActorSlot:
    """An actor, and those that replaced it."""

    actor: Any
    running: set[Key] = field(default_factory=set)  # what it was given and has not ended
    reply: Reply | None = None  # the last one
    steps: int = 0  # of its predecessors


@dataclass(kw_only=True)
class Pool:
    """The actors, and the driver's end of the work."""

    job: Job
    longest_prompt: int
    num_workers: int
    num_cpus: int  # of an actor
    num_gpus: int
    deaths: int = 0  # since the last record
    slots: list[ActorSlot] = field(init=False)
    busy: dict[Any, ActorSlot] = field(init=False, default_factory=dict)  # by the reply awaited
    queue: RequestQueue = field(init=False, default_factory=RequestQueue)

    def __post_init__(self) -> None:
        self.slots = [ActorSlot(actor=None) for _ in range(self.num_workers)]
        for slot in self.slots:
            self.hire(slot)
        while any(slot.reply is None for slot in self.slots):
            self.collect()

    @property
    def devices(self) -> list[str]:
        return [slot.reply.device for slot in self.slots]

    @property
    def rank_bytes(self) -> list[Sequence[dict[str, int]]]:
        return [slot.reply.ranks for slot in self.slots]

    @property
    def steps(self) -> int:
        return sum(slot.steps + slot.reply.steps for slot in self.slots)

    @property
    def batch_sizes(self) -> list[int]:
        return [slot.reply.batch_size for slot in self.slots]

    def lengths(self) -> list[int]:
        return [length for slot in self.slots for length in slot.reply.lengths]

    def run(self, requests: Sequence[Request]) -> Iterator[list[Record]]:
        self.queue.extend(requests)
        for slot in self.slots:
            self.give(slot)
        while self.queue.waiting or self.queue.running:
            yield self.collect()

    def hire(self, slot: ActorSlot) -> None:
        slot.actor = ray.remote(num_cpus=self.num_cpus, num_gpus=self.num_gpus)(Actor).remote()
        folder, method = os.getcwd(), self.job.labels.method
        self.busy[slot.actor.load.remote(dict(self.job.config), method, self.longest_prompt, folder)] = slot

    def give(self, slot: ActorSlot) -> None:
        """Fill it up from the queue; an actor with nothing to do rests."""
        room = slot.reply.batch_size + SPARE - len(slot.running)  # below 0 where it has just been halved
        new = list(islice(self.queue, max(room, 0)))
        slot.running |= {request.key for request in new}
        if slot.running:
            self.busy[slot.actor.work.remote(new)] = slot

    def collect(self) -> list[Record]:
        """The records of the replies that are there; waits for one, or a second."""
        first, others = ray.wait(list(self.busy), num_returns=1, timeout=1)
        ready = first + (ray.wait(others, num_returns=len(others), timeout=0)[0] if first and others else [])
        records = []
        for reference in ready:
            slot = self.busy.pop(reference)
            try:
                reply: Reply = ray.get(reference)
            except RayActorError as error:
                self.replace(slot, error)
                continue
            except RayTaskError as error:
                raise error.cause from error
            if slot.reply is None or slot.reply.actor != reply.actor:
                print(f"worker {self.slots.index(slot)}: {reply.actor}, {reply.device}", flush=True)
            slot.reply = reply
            for record in reply.records:
                slot.running.remove(record.key)
                self.queue.ended(record.key)
            records += reply.records
            self.give(slot)
        self.deaths = 0 if records else self.deaths
        return records

    def replace(self, slot: ActorSlot, error: RayActorError) -> None:
        """Take back what a dead actor held and put another in its slot."""
        self.deaths += 1
        number, reason = self.slots.index(slot), str(error).splitlines()[0]
        print(f"worker {number} died with {len(slot.running)} rows under way, hiring another: {reason}", flush=True)
        if self.deaths > PATIENCE * self.num_workers:
            raise ValueError(f"{self.deaths} workers died with no record between, the last of: {reason}") from error
        self.queue.put_back(slot.running)
        slot.running.clear()
        if slot.reply:
            slot.steps += slot.reply.steps
            slot.reply = slot.reply._replace(lengths=[], steps=0)
        self.hire(slot)


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Actors of a Ray cluster; `address` null: a cluster of its own on this machine, "auto": the one that runs here."""

    num_workers: int
    address: str | None

    def device(self, name: str) -> None:
        if name not in ("auto", "cpu", "cuda"):
            raise ValueError(f"device={name}: with workers=ray use auto, cpu or cuda")

    @contextmanager
    def open(self, job: Job, longest_prompt: int, output_dir: Path) -> Iterator[Workers]:
        if job.config["engine"]["trace"]:
            raise ValueError("engine.trace counts the rows of one process: use workers=local")
        size = job.config.get("tensor_parallel", 1)
        self.connect(size * self.num_workers)
        try:
            gpus = ray.cluster_resources().get("GPU", 0)
            on_gpus = job.config["device"] == "cuda" or (job.config["device"] == "auto" and gpus > 0)
            kind, there = ("GPU", gpus) if on_gpus else ("CPU", ray.cluster_resources().get("CPU", 0))
            if there < size * self.num_workers:
                each = f" of {size} {kind}s" if size > 1 else ""
                raise ValueError(f"num_workers={self.num_workers}{each}: the cluster has {there:g} {kind}s")
            sizes = dict(num_cpus=size, num_gpus=size * on_gpus)
            yield Pool(job=job, longest_prompt=longest_prompt, num_workers=self.num_workers, **sizes)
        finally:
            ray.shutdown()

    def connect(self, least: int) -> None:
        """A cluster of its own has at least so many CPUs."""
        address = os.environ.get("RAY_ADDRESS") if self.address == "auto" else self.address
        if address:
            refuse_silence(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        before = signal.getsignal(signal.SIGTERM)
        num_cpus = None if self.address else max(least, os.cpu_count() or 1)
        try:
            ray.init(self.address or "local", num_cpus=num_cpus, log_to_driver=False, logging_level=logging.WARNING)
        except ConnectionError as error:
            advice = "does it run, and has it the RAY_AUTH_MODE and RAY_AUTH_TOKEN of this process? null starts one"
            raise ValueError(f"ray.address={self.address}: {error}: {advice}") from error
        signal.signal(signal.SIGTERM, before)  # ray puts its own in place
