"""The decode loop: one for every method, model and task.

B rows. Every step has exactly `batch_size` rows, idle ones included, and prompts are prefilled one at a time, so a row
does not depend on its neighbours. When a row ends, its place goes to the next prompt.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from ...kernels import attend
from ...kernels.noise import Noise
from ...methods.policy import Policy
from ..attention import Attention, Own
from ..cache import KVCache, Shape, Trace
from ..model import Model, Tokenizer, eos_ids, forward, own_attention, shape_of
from ..sampler import Greedy, Sampler
from .prefill import prefill
from .request import Generation, Request, Row
from .teacher import Teacher
from .token_buffer import Chosen


@dataclass(kw_only=True)
class Decoder:
    """Decodes requests on one device, with room for prompts of `longest_prompt` tokens."""

    model: Model
    policy: Policy
    sampler: Sampler
    max_tokens: int
    longest_prompt: int
    batch_size: PositiveInt
    seed: int = 0
    attention: Attention = field(default_factory=Own)
    look: PositiveInt = 1  # steps at most between two looks at what was chosen
    trace: NonNegativeInt = 0  # write the cache of the first so many rows, below output_dir
    output_dir: Path | None = None
    teacher: Teacher | None = None  # forces the completions of the requests; None: the sampler chooses
    steps: int = field(init=False, default=0)

    @classmethod
    def check(cls, shape: Shape, device: torch.device) -> None:
        """ValueError for what this engine cannot run; asked before weights are loaded, too."""
        attend.check(shape.dim, device)

    def __post_init__(self) -> None:
        self.tracing = Trace(output_dir=self.output_dir, num_rows=self.trace)
        self.device, shape = self.model.device, shape_of(self.model.config)
        self.check(shape, self.device)
        self.attention.check(self.policy, self.model.dtype, self.device)
        self.rows: list[Row | None] = [None] * self.batch_size
        self.ends = eos_ids(self.model)
        self.eos = torch.tensor(sorted(self.ends), device=self.device)
        self.chosen = Chosen(self.batch_size, self.look, self.device)
        self.all_rows = torch.arange(self.batch_size, device=self.device)
        self.cache = KVCache(
            policy=self.policy,
            shape=shape,
            batch_size=self.batch_size,
            longest_prompt=self.longest_prompt,
            longest=self.longest_prompt + self.max_tokens,
            dtype=self.model.dtype,
            device=self.device,
            attention=self.attention,
        )

    @torch.inference_mode()
    def run(self, requests: Iterable[Request]) -> Iterator[Generation]:
        """Generations in the order in which they end. The model attends through our cache until the last of them."""
        waiting = iter(requests)
        try:
            with own_attention(self.model):
                self.prepare()
                while True:
                    for row in range(self.batch_size):
                        while self.rows[row] is None and (request := next(waiting, None)) is not None:
                            self.admit(row, request)
                            yield from self.collect()
                    if not any(self.rows):
                        return
                    self.advance(self.burst())
                    yield from self.collect()
                    if due := self.cache.due():
                        self.evict(due)
        finally:
            self.abandon()

    def prepare(self) -> None:
        """Before the first prompt of a run."""

    def admit(self, index: int, request: Request) -> None:
        """Prefill a prompt into an idle row and choose its first token."""
        request.check(self.longest_prompt)
        start = time.perf_counter()
        self.cache.admit(index, len(request.prompt), Noise.key(self.seed, request.sample, request.draw))
        logits = prefill(self.model, request.prompt, self.cache, index)
        at = torch.tensor([index], device=self.device)
        if self.teacher:
            self.teacher.admitted(index, request, logits)
        token = self.choose(logits, self.cache.noise.rows(at), at, torch.zeros_like(at))
        self.chosen.first(index, token[0])
        now = time.perf_counter()
        self.tracing.admitted(self.cache, index, f"{request.sample}-{request.draw}")
        row = self.rows[index] = Row(request=request, prefill_s=now - start, started=now)
        row.take([int(token)], self.ends, self.max_tokens)
        if row.stop is None and index in self.cache.due():
            self.evict([index])

    def evict(self, rows: Sequence[int]) -> None:
        self.tracing.before(self.cache, rows)
        self.round(rows)
        self.cache.evicted(rows)
        self.tracing.after(self.cache, rows)

    def round(self, rows: Sequence[int]) -> None:
        """Drop what these rows have too much, on the device."""
        self.cache.drop(rows)

    def burst(self) -> int:
        """Steps until the host has something to do: a row that is due or at its end, or a look."""
        live = [(row, clock) for row, clock in zip(self.rows, self.cache.clocks, strict=True) if row]
        ends = [row.left(self.max_tokens) for row, _ in live]
        return min(self.look, *ends, *(clock.steps_to_due or self.look for _, clock in live))

    def advance(self, count: int) -> None:
        """So many steps, then a look at what they chose."""
        self.cache.ahead = count
        if self.cache.reserve():
            self.moved()
        for _ in range(count):
            self.step()
        self.steps += count
        for index, (row, tokens) in enumerate(zip(self.rows, self.chosen.look(count), strict=True)):
            if row:
                self.cache.count(index, row.take(tokens, self.ends, self.max_tokens))

    def moved(self) -> None:
        """The cache has taken new memory."""

    def step(self) -> None:
        """One token for every row, on the device alone."""
        logits = forward(self.model, self.chosen.last[:, None], self.cache.positions[:, None], self.cache)
        token = self.choose(logits, self.cache.noise, self.all_rows, self.chosen.count)
        self.chosen.add(token)
        self.cache.advance((token >= 0) & (token[:, None] != self.eos).all(-1))

    def choose(self, logits: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        """Next tokens [R] of `rows` [R] with logits [R, V]; -1 where these are not finite."""
        token = self.teacher(logits, rows, num_chosen) if self.teacher else self.sampler(logits, noise, num_chosen)
        return token.masked_fill(~logits.sum(-1, dtype=torch.float32).isfinite(), -1)

    def lengths(self) -> list[int]:
        """Tokens so far of each row under way."""
        return [len(row.token_ids) for row in self.rows if row]

    def abandon(self) -> None:
        """Forget the rows that have not ended, so that a later run starts afresh."""
        self.rows = [None] * self.batch_size
        self.chosen.restart()
        self.cache.clear()

    def collect(self) -> Iterator[Generation]:
        """Hand over the rows that have stopped and free their places."""
        for index, row in enumerate(self.rows):
            if row and row.stop:
                self.rows[index] = None
                self.tracing.released(index)
                seen = self.teacher.released(index, len(row.token_ids)) if self.teacher else None
                yield row.ended(self.cache.release(index), seen)


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    policy: Policy,
    *,
    max_tokens: int,
    sampler: Sampler | None = None,
    seed: int = 0,
    batch_size: int = 16,
) -> list[Generation]:
    """Continue each prompt under a policy; one generation a prompt, in order. Chat models want a templated prompt."""
    requests = [
        Request(str(i), 0, tokenizer(prompt, add_special_tokens=False).input_ids) for i, prompt in enumerate(prompts)
    ]
    if not requests:
        return []
    decoder = Decoder(
        model=model,
        policy=policy,
        sampler=sampler or Greedy(),
        max_tokens=max_tokens,
        longest_prompt=max(len(request.prompt) for request in requests),
        batch_size=batch_size,
        seed=seed,
    )
    done = {generation.sample: generation for generation in decoder.run(requests)}
    return [done[request.sample] for request in requests]
