"""The decode loop: one for every method, model and task.

B rows. Every step has exactly `batch_size` rows, idle ones included, and prompts are prefilled one at a time, so a row
does not depend on its neighbours. A request waits until a row is idle, then runs in it as a sequence until it ends.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from ...kernels import attend
from ...kernels.noise import Noise
from ...methods.policy import Policy
from ...methods.settings import fit
from ..attention import Attention, Own
from ..cache import KVCache, Shape, Trace
from ..model import Model, eos_ids, forward, own_attention, shape_of
from ..sampler import History, Sampler
from .prefill import Prompt
from .probe import Probe
from .request import Generation, Request, RunningSequence
from .teacher import Teacher
from .token_buffer import TokenBuffer


@dataclass(kw_only=True)
class Decoder:
    """Decodes requests on one device, with room for prompts of `longest_prompt` tokens."""

    model: Model
    policy: Policy
    sampler: Sampler
    max_tokens: PositiveInt
    longest_prompt: int
    batch_size: PositiveInt
    seed: int = 0
    attention: Attention = field(default_factory=Own)
    look: PositiveInt = 1  # steps at most between two looks at what was chosen
    trace: NonNegativeInt = 0  # write the cache of the first so many rows, below output_dir
    output_dir: Path | None = None
    teacher: Teacher | None = None  # forces the completions of the requests; None: the sampler chooses
    steps: int = field(init=False, default=0)
    device: torch.device = field(init=False)
    cache: KVCache = field(init=False)
    history: History | None = field(init=False)  # None: nothing is penalised
    running: list[RunningSequence | None] = field(init=False)  # [B]; None: the row is idle
    prompt: Prompt = field(init=False)  # the last that was read
    buffer: TokenBuffer = field(init=False)
    tracing: Trace = field(init=False)
    ends: frozenset[int] = field(init=False)  # tokens that end a sequence
    eos: Tensor = field(init=False)  # the same, on the device
    all_rows: Tensor = field(init=False)  # [B] int64

    @classmethod
    def check(cls, shape: Shape, device: torch.device) -> None:
        """ValueError for what this engine cannot run; asked before weights are loaded, too."""
        attend.check_head_dim(shape.dim, device)

    def __post_init__(self) -> None:
        for name in ("max_tokens", "batch_size", "look"):
            setattr(self, name, fit(name, getattr(self, name), PositiveInt))
        self.tracing = Trace(output_dir=self.output_dir, num_rows=self.trace)
        self.device, shape = self.model.device, shape_of(self.model.config)
        self.check(shape, self.device)
        self.attention.check(self.policy, self.model.dtype, self.device)
        longest = self.longest_prompt + self.max_tokens
        probe = Probe(
            model=self.model, shape=shape, batch_size=self.batch_size, longest=longest, attention=self.attention
        )
        self.fit_layers()
        self.running = [None] * self.batch_size
        self.ends = eos_ids(self.model)
        self.eos = torch.tensor(sorted(self.ends), device=self.device)
        self.buffer = TokenBuffer(self.batch_size, self.look, self.device)
        longest = self.longest_prompt + self.max_tokens
        num_tokens = self.model.config.get_text_config().vocab_size
        self.history = self.sampler.history(self.batch_size, longest, num_tokens, self.device)
        self.all_rows = torch.arange(self.batch_size, device=self.device)
        self.cache = KVCache(
            policy=self.policy,
            shape=shape,
            batch_size=self.batch_size,
            longest_prompt=self.longest_prompt,
            longest=longest,
            dtype=self.model.dtype,
            device=self.device,
            attention=self.attention,
            scales=probe.scales(self.single_tokens, self.prompts),
        )
        self.prompt = self.prompts(self.cache)

    def prompts(self, cache: KVCache) -> Prompt:
        """What reads them, for the rows of a cache."""
        return Prompt(cache=cache)

    def fit_layers(self) -> None:
        """Change the model's layers as the engine needs them."""

    def single_tokens(self) -> AbstractContextManager[None]:
        """The model takes single tokens inside as the engine's steps do."""
        return nullcontext()

    @torch.inference_mode()
    def run(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Generations in the order in which they end. The model attends through our cache until the last of them."""
        waiting = iter(requests)
        try:
            with own_attention(self.model):
                self.prepare()
                while True:
                    for row in range(self.batch_size):
                        while self.running[row] is None and (request := next(waiting, None)) is not None:
                            self.admit(row, request)
                            yield from self.collect()
                    if not any(self.running):
                        return
                    self.advance(self.burst())
                    yield from self.collect()
                    if due := self.cache.due():
                        self.evict(due)
        finally:
            self.abandon()

    def prepare(self) -> None:
        """Before the first prompt of a run."""

    def admit(self, row: int, request: Request) -> None:
        """Begin an idle row with a prompt, which is read unless the row before began with it, and choose a token."""
        request.check(self.longest_prompt)
        start = time.perf_counter()
        self.cache.admit(row, len(request.prompt), Noise.key(self.seed, request.sample, request.draw))
        if self.teacher:  # it sees the model read
            self.prompt.tokens = ()
        logits = self.prompt.read(self.model, request.prompt)
        at = torch.tensor([row], device=self.device)
        self.seat(at)
        if self.history:
            self.history.begin(row, request.prompt)
        if self.teacher:
            self.teacher.admitted(row, request, logits)
        token = self.choose(logits, self.cache.noise.rows(at), at, torch.zeros_like(at))
        self.buffer.first(row, token[0])
        now = time.perf_counter()
        self.tracing.admitted(self.cache, row, f"{request.sample}-{request.draw}")
        sequence = self.running[row] = RunningSequence(request=request, prefill_s=now - start, started=now)
        sequence.take([int(token)], self.ends, self.max_tokens)
        if sequence.stop is None and row in self.cache.due():
            self.evict([row])

    def seat(self, row: Tensor) -> None:
        """Copy the prompt into a row [1]."""
        self.cache.seat(row, self.prompt.layers)

    def evict(self, rows: Sequence[int]) -> None:
        self.tracing.before(self.cache, rows)
        self.round(rows)
        self.cache.evicted(rows)
        self.tracing.after(self.cache, rows)

    def round(self, rows: Sequence[int]) -> None:
        """Drop what these rows have too much, on the device."""
        self.cache.drop(rows)

    def burst(self) -> int:
        """Steps until the host has something to do: a row that is due, a sequence at its end, or a look."""
        ends = [sequence.left(self.max_tokens) for sequence in self.running if sequence]
        return min(self.look, *ends, *(clock.steps_to_due or self.look for clock in self.cache.clocks if clock))

    def advance(self, count: int) -> None:
        """So many steps, then a look at what they chose."""
        self.cache.ahead = count
        if self.cache.reserve():
            self.moved()
        for _ in range(count):
            self.step()
        self.steps += count
        for row, (sequence, tokens) in enumerate(zip(self.running, self.buffer.look(count), strict=True)):
            if sequence:
                self.cache.count(row, sequence.take(tokens, self.ends, self.max_tokens))

    def moved(self) -> None:
        """The cache has taken new memory."""

    def step(self) -> None:
        """One token for every row, on the device alone."""
        logits = forward(self.model, self.buffer.last[:, None], self.cache.positions[:, None], self.cache)
        token = self.choose(logits, self.cache.noise, self.all_rows, self.buffer.count)
        self.buffer.add(token)
        self.cache.advance((token >= 0) & (token[:, None] != self.eos).all(-1))

    def choose(self, logits: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        """Next tokens [R] of `rows` [R] with logits [R, V]; -1 where one is NaN, or none is finite."""
        if self.history:
            logits = self.history.penalised(logits, rows)
        token = self.teacher(logits, rows, num_chosen) if self.teacher else self.sampler(logits, noise, num_chosen)
        token = token.masked_fill(~logits.amax(-1).isfinite(), -1)
        if self.history:
            self.history.add(rows, token)
        return token

    def lengths(self) -> list[int]:
        """Tokens so far of each running sequence."""
        return [len(sequence.token_ids) for sequence in self.running if sequence]

    def abandon(self) -> None:
        """Forget the sequences that have not ended, so that a later run starts afresh."""
        self.running = [None] * self.batch_size
        self.buffer.restart()
        self.cache.clear()

    def collect(self) -> Iterator[Generation]:
        """Hand over the sequences that have stopped; their rows are idle then."""
        for row, sequence in enumerate(self.running):
            if sequence and sequence.stop:
                self.running[row] = None
                self.tracing.released(row)
                seen = self.teacher.released(row, len(sequence.token_ids)) if self.teacher else None
                yield sequence.ended(self.cache.release(row), seen)
