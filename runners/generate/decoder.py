"""The decode loop: one for every method, model and task.

B rows. Every step has exactly `batch_size` rows, idle ones included, and prompts are prefilled one at a time, unless an
engine is asked for more, so a row does not depend on its neighbours. A request waits until a row is idle, then runs in
it as a sequence until it ends. Where `narrow` is asked for, steps have fewer rows as a run ends: the sequences that are
left move together.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from pydantic import NonNegativeInt

from ...kernels.noise import Noise
from ..cache import Trace
from ..model import own_attention
from .engine import Engine
from .narrowing import Narrowing
from .request import Generation, Request, RunningSequence
from .watcher import Watcher


@dataclass(kw_only=True)
class Decoder(Engine):
    """Decodes requests on one device, with room for prompts of `longest_prompt` tokens."""

    seed: int = 0
    trace: NonNegativeInt = 0  # write the cache of the first so many rows, below output_dir
    output_dir: Path | None = None
    narrow: bool = False  # steps have fewer rows as a run ends; what is said may hang on that on a GPU
    watch: Callable[[Request], Watcher] | None = None  # follows a sequence, and may end it at a look
    steps: int = field(init=False, default=0)
    places: int = field(init=False, default=0)  # rows of all steps together, idle ones included
    running: list[RunningSequence | None] = field(init=False)  # [B]; None: the row is idle
    ahead: list[Request] = field(init=False, default_factory=list)  # in the pass that was read last, without a row yet
    tracing: Trace = field(init=False)

    def __post_init__(self) -> None:
        folder = self.output_dir and self.output_dir / "trace"
        self.tracing = Trace(folder=folder, num_rows=self.trace)
        super().__post_init__()
        self.running = [None] * self.batch_size

    @torch.inference_mode()
    def run(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Generations in the order in which they end, handed over while the device is at the next steps.

        The model attends through our cache until the last of them.
        """
        waiting, ended = iter(requests), list[Generation]()
        narrowing = Narrowing(crowded=self.steps)
        try:
            with own_attention(self.model):
                self.prepare()
                while True:
                    while new := self.next(waiting):
                        self.admit(self.idle(len(new)), new)
                        ended += self.collect()
                    if self.narrow and (busy := len(self.lengths())):
                        self.use(narrowing.rows(self.cache.used.count, busy, self.steps))
                    if count := self.until_due() if self.tracing.follows else self.until_look():
                        self.launch(count)
                    elif not ended:
                        return
                    yield from ended
                    self.look_at(count)
                    ended = self.collect()
                    if due := self.cache.due():
                        self.evict(due)
        finally:
            self.abandon()

    def next(self, waiting: Iterator[Request]) -> list[Request]:
        """Requests for the rows that are idle, of a pass; where none of it is left, another is taken."""
        if (idle := self.running.count(None)) and not self.ahead:
            self.ahead = list(islice(waiting, self.prompt.most))
        new, self.ahead = self.ahead[:idle], self.ahead[idle:]
        return new

    def idle(self, count: int) -> list[int]:
        """The first so many rows that are idle, in use from here on."""
        rows = [row for row, sequence in enumerate(self.running) if sequence is None][:count]
        if rows[-1] >= self.cache.used.count:
            self.use(self.batch_size)
        return rows

    def admit(self, rows: Sequence[int], requests: Sequence[Request]) -> None:
        """Begin idle rows with prompts, and choose their first tokens.

        Unless they were read last, they are read, with those of their pass that have no row yet.
        """
        start, size = time.perf_counter(), len(requests)
        for request in (*requests, *self.ahead):
            request.check(self.longest_prompt)
        self.prompt.read(self.model, *(request.prompt for request in (*requests, *self.ahead)))
        new = []
        for row, request in zip(rows, requests, strict=True):
            self.cache.enter(row, length := len(request.prompt))
            self.chooser.begin(row, request)
            key = Noise.key(self.seed, request.sample, request.draw)
            new.append((row, self.prompt.place(request.prompt), length, *key))
        tokens = self.begin(torch.tensor(new)).tolist()
        now = time.perf_counter()
        for row, request, token in zip(rows, requests, tokens, strict=True):
            self.tracing.admitted(self.cache, row, f"{request.sample}-{request.draw}")
            watcher = self.watch(request) if self.watch else None
            sequence = RunningSequence(request=request, prefill_s=(now - start) / size, started=now, watcher=watcher)
            self.running[row] = sequence
            sequence.take([token], self.ends, self.max_tokens)
        if due := [row for row in self.cache.due() if row in rows and self.running[row].stop is None]:
            self.evict(due)

    def use(self, rows: int) -> None:
        """Go on with the first so many rows, which have room for all sequences: who is beyond moves there."""
        if rows == self.cache.used.count:
            return
        idle = (row for row in range(rows) if self.running[row] is None)
        for row, sequence in enumerate(self.running[rows:], rows):
            if sequence:
                to = next(idle)
                self.running[to], self.running[row] = sequence, None
                for each in (self.cache, self.buffer, self.chooser, self.tracing):
                    each.move(row, to)
        self.cache.use(rows)

    def evict(self, rows: Sequence[int]) -> None:
        self.tracing.before(self.cache, rows)
        self.round(rows)
        self.cache.evicted(rows)
        self.tracing.after(self.cache, rows)

    def until_look(self) -> int:
        """Steps until the host has to see what was said: a sequence is at its end, or it is time."""
        ends = [sequence.left(self.max_tokens) for sequence in self.running if sequence]
        return min(self.look, *ends) if ends else 0

    def until_due(self) -> int:
        """The same, or until a row is due."""
        return min(self.until_look(), self.cache.steps_to_due(self.look))

    def advance(self, count: int) -> None:
        """So many steps, then a look at what they chose."""
        self.launch(count)
        self.look_at(count)

    def launch(self, count: int) -> None:
        """So many steps and the rounds between them, for which the host does not wait."""
        if self.cache.go_ahead(count):
            self.moved()
        left = count
        while left:
            part = self.cache.steps_to_due(left)
            for _ in range(part):
                self.step()
            if left == count:  # the device is at work by now
                self.cache.remember()
            for row, sequence in enumerate(self.running):
                if sequence:
                    self.cache.count(row, part)
            if (left := left - part) and (due := self.cache.due()):
                self.evict(due)
        self.steps += count
        self.places += count * self.cache.used.count

    def look_at(self, count: int) -> None:
        """Wait for steps, and see what they chose."""
        for row, (sequence, tokens) in enumerate(zip(self.running, self.buffer.look(count), strict=True)):
            if sequence and (taken := sequence.take(tokens, self.ends, self.max_tokens)) < count:
                self.cache.recount(row, taken)

    def lengths(self) -> list[int]:
        """Tokens so far of each running sequence."""
        return [len(sequence.token_ids) for sequence in self.running if sequence]

    def abandon(self) -> None:
        """Forget the sequences that have not ended, so that a later run starts afresh."""
        self.running, self.ahead = [None] * self.batch_size, []
        self.buffer.restart()
        self.cache.clear()
        self.use(self.batch_size)

    def collect(self) -> list[Generation]:
        """The sequences that have stopped; their rows are idle then."""
        ended = []
        for row, sequence in enumerate(self.running):
            if sequence and sequence.stop:
                self.running[row] = None
                self.tracing.released(row)
                length = len(sequence.token_ids)
                seen, logprobs = self.chooser.ended(row, length), self.chooser.logprobs(row, length)
                ended.append(sequence.ended(self.cache.release(row), seen, logprobs))
        return ended
