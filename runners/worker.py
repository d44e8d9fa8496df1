"""What decodes and grades the rows of a run: one model on one device."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from . import provenance
from .generate import Decoder, Request
from .job import Job, find_device
from .judge import judge
from .record import Record
from .workers import Workers

NO_MEMORY = "DefaultCPUAllocator: "  # how torch's RuntimeError begins, somewhere, when the CPU has no more


@dataclass(kw_only=True)
class Worker:
    job: Job
    longest_prompt: int  # tokens
    output_dir: Path
    decoder: Decoder = field(init=False)

    def __post_init__(self) -> None:
        job = self.job
        self.tokenizer = job.checkpoint.tokenizer()
        self.samples = {sample.id: sample for sample in job.samples}
        self.devices = [provenance.device_name(job.device)]
        with self.memory():
            self.decoder = job.engine(
                model=job.checkpoint.load(job.device),
                policy=job.policy,
                sampler=job.sampler,
                max_tokens=job.config["max_tokens"],
                longest_prompt=self.longest_prompt,
                seed=job.config["seed"],
                output_dir=self.output_dir,
            )

    @property
    def steps(self) -> int:
        return self.decoder.steps

    def lengths(self) -> list[int]:
        return self.decoder.lengths()

    def run(self, requests: Iterable[Request]) -> Iterator[list[Record]]:
        with self.memory():
            for generation in self.decoder.run(requests):
                sample = self.samples[generation.sample]
                yield [judge(self.job.task, sample, generation, self.tokenizer, self.job.config["grading_s"])]

    @contextmanager
    def memory(self) -> Iterator[None]:
        """MemoryError where the device has too little of it."""
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and NO_MEMORY not in str(error):
                raise
            size, reason = self.job.config["engine"]["batch_size"], str(error).splitlines()[0]
            raise MemoryError(f"out of memory at engine.batch_size={size}: use a smaller one ({reason})") from error


@dataclass(frozen=True, kw_only=True)
class Local:
    """One worker: this process."""

    num_workers: int = 1

    def __post_init__(self) -> None:
        if self.num_workers != 1:
            raise ValueError(f"num_workers={self.num_workers}: workers=local is one process, use workers=ray")

    def device(self, name: str) -> torch.device:
        return find_device(name)

    @contextmanager
    def open(self, job: Job, longest_prompt: int, output_dir: Path) -> Iterator[Workers]:
        yield Worker(job=job, longest_prompt=longest_prompt, output_dir=output_dir)
