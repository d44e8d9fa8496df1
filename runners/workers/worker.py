"""What decodes and grades the rows of a run: one model on one device.

Where memory runs out during a run, the rows under way begin anew in half as many places. What a row says does not
depend on how many there are.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from ...tasks.task import Sample
from ..cache import memory
from ..fidelity import Examiner, dense_states, longest
from ..generate import Decoder, Generation, Request
from ..job import Job, provenance
from ..job.made_of import stamp
from ..job.provenance import prompts_digest
from ..model import Model, Tokenizer, own_attention, shape_of
from ..parallel import ALONE, TOGETHER, Ranks, refusing_loss, split_over
from ..record import Record
from .held import MODEL, STATES
from .judge import judge, opens_thought
from .orders import Orders
from .request_queue import RequestQueue


@dataclass(kw_only=True)
class Worker:
    job: Job
    longest_prompt: int  # tokens
    output_dir: Path
    ranks: Ranks = ALONE  # over which the model is split
    orders: Orders | None = None  # of rank 0 to those that follow
    rank_bytes: list[Sequence[dict[str, int]]] = field(init=False)  # one worker's; of weights and cache, where split
    device: torch.device = field(init=False)
    tokenizer: Tokenizer = field(init=False)
    opened: bool = field(init=False)  # whether prompts end inside a thought
    model: Model = field(init=False)
    samples: dict[str, Sample] = field(init=False)  # by id
    batch_size: int = field(init=False)  # rows at a time, now
    decoder: Decoder | None = field(init=False, default=None)  # None: between two batch sizes
    examiner: Examiner | None = field(init=False, default=None)  # where texts are forced
    _steps: int = field(init=False, default=0)  # of decoders that are gone

    def __post_init__(self) -> None:
        job = self.job
        self.tokenizer = job.checkpoint.tokenizer()
        self.opened = opens_thought(self.tokenizer)
        self.samples = {sample.id: sample for sample in job.samples}
        assert job.device
        self.device = job.device
        self.batch_size = job.config["engine"]["batch_size"]
        key = job.checkpoint, self.device, stamp(job.checkpoint), self.ranks
        self.model = MODEL.get(key, self._load)
        if job.forces and job.labels.is_dense:
            self.batch_size = self.batch_size // 2 or 2  # dense beside itself: what another shape rounds otherwise
        if (reason := self._set_up()) is not None:
            self.drop()
            raise MemoryError(f"out of memory at engine.batch_size={self.batch_size}: {self._advice()} ({reason})")
        assert self.decoder
        weights = sum(each.nbytes for each in self.model.parameters())
        self.rank_bytes = [self.ranks.each({"weights": weights, "cache": self.decoder.cache.nbytes})]

    @property
    def steps(self) -> int:
        return self._steps + (self.decoder.steps if self.decoder else 0)

    @property
    def devices(self) -> list[str]:
        return [provenance.device_name(self.device)]

    @property
    def batch_sizes(self) -> list[int]:
        return [self.batch_size]

    def lengths(self) -> list[int]:
        decoder = self.decoder  # asked by another thread, while this one may drop it
        return decoder.lengths() if decoder else []

    def run(self, requests: Iterable[Request]) -> Iterator[list[Record]]:
        """Records, and an empty list where the batch has just been halved."""
        return self.serve(RequestQueue(requests))

    def serve(self, queue: RequestQueue) -> Iterator[list[Record]]:
        """The same for a queue that others may extend in the meantime."""
        while (reason := (yield from self._decode(queue))) is not None:
            self._halve(reason)
            queue.put_back(queue.running)
            yield []

    def _decode(self, queue: RequestQueue) -> Generator[list[Record], None, str | None]:
        """Until the requests end, or memory does: then it returns why."""
        assert self.decoder
        try:
            for generation in self._generations(queue):
                request, sample = queue.ended((generation.sample, generation.draw)), self.samples[generation.sample]
                seconds = self.job.config["grading_s"]
                yield [judge(self.job.task, sample, request, generation, self.tokenizer, seconds, self.opened)]
        except RuntimeError as error:
            if (reason := memory.shortage(error)) is None:
                raise
            return reason
        return None

    def _generations(self, queue: RequestQueue) -> Iterator[Generation]:
        assert self.decoder
        with refusing_loss(self.ranks.size):
            yield from self.decoder.run(self.orders.served(queue) if self.orders else queue)

    def _load(self) -> Model:
        try:
            if self.ranks.size == 1:  # a checkpoint of others may know of nothing to change
                return self.job.checkpoint.load(self.device)
            return self.job.checkpoint.load(self.device, partial(split_over, ranks=self.ranks))
        except RuntimeError as error:
            if (reason := memory.shortage(error)) is None:
                raise
            name = self.job.checkpoint.name
            raise MemoryError(f"model {name} does not fit on {self.device}: use a smaller one ({reason})") from error

    def _set_up(self) -> str | None:
        """Build the decoder for a batch; returns why memory did not suffice, None if it did."""
        job, needed = self.job, self.batch_size * self._row_bytes()
        # Linux may promise more than there is, and kill the process that uses it
        if self.device.type == "cpu" and needed > (free := memory.free_bytes(self.device)):
            return f"the cache takes {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free"
        try:
            self.examiner = self._examiner() if job.forces else None
            self.decoder = self._build()
            with own_attention(self.model), torch.inference_mode():
                self.decoder.prepare()
        except RuntimeError as error:
            if (reason := memory.shortage(error)) is None:
                raise
            return reason
        return None

    def _build(self) -> Decoder:
        job = self.job
        return job.engine(
            model=self.model,
            policy=job.policy,
            sampler=job.sampler,
            attention=job.attention,
            storage=job.storage,
            max_tokens=job.config["max_tokens"],
            longest_prompt=self.longest_prompt,
            batch_size=self.batch_size,
            seed=job.config["seed"],
            output_dir=self.output_dir,
            teacher=self.examiner,
            ranks=self.ranks,
        )

    def _examiner(self) -> Examiner:
        """Dense has gone through the same loop first, unless it has for the run before."""
        job, batch_size = self.job, self.job.config["engine"]["batch_size"]
        requests, engine = job.requests(self.tokenizer), partial(job.engine, attention=job.attention, trace=0)
        settings = tuple(sorted((job.engine.keywords | {"trace": 0}).items()))
        key = (job.checkpoint, self.device, stamp(job.checkpoint), job.engine.func, settings, prompts_digest(requests))
        states = STATES.get(key, lambda: dense_states(self.model, requests, engine, batch_size))
        return Examiner(self.model, batch_size=self.batch_size, longest=longest(requests), states=states)

    def _row_bytes(self) -> int:
        return memory.row_bytes(
            self.job.policy,
            self.ranks.shape(shape_of(self.model.config)),
            self.model.dtype,
            longest_prompt=self.longest_prompt,
            longest=self.longest_prompt + self.job.config["max_tokens"],
            storage=self.job.storage,
        )

    def _halve(self, reason: str | None) -> None:
        """Go on with half as many rows, or half of them again where not even these can be set up."""
        while reason is not None:
            if self.ranks.size > 1:  # the others may have had enough
                least = f"use engine.batch_size={max(1, self.batch_size // 2)}; {TOGETHER}"
                raise MemoryError(f"out of memory under tensor_parallel={self.ranks.size}: {least} ({reason})")
            if self.batch_size == 1:
                less = "lower max_tokens or the budget, or use a smaller model"
                raise MemoryError(f"out of memory at a batch of one row: {less} ({reason})")
            self.drop()
            self.batch_size //= 2
            reason = self._set_up()

    def drop(self) -> None:
        """Free all that the decoder holds. Its error must be gone too: a traceback keeps what its frames hold."""
        self._steps = self.steps
        self.examiner = self.decoder = None
        memory.reclaim()

    def _advice(self) -> str:
        """The largest batch that would have been set up."""
        row = self._row_bytes()
        fitting = memory.largest_batch(row, self.device)
        if not fitting:
            return f"a row takes {row / 2**30:.1f} GiB and not one fits: lower max_tokens, or use a smaller model"
        # where more by their bytes fit than were asked for, something else took the memory
        size = fitting if fitting < self.batch_size else max(1, self.batch_size // 2)
        return f"use engine.batch_size={size}, the largest that fits"
