"""The decode loop: one for every method, model and task.

B rows. Every step has exactly `batch_size` rows, idle ones included, and prompts are prefilled one at a time, so a row
does not depend on its neighbours. When a row ends, its place goes to the next prompt.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..kernels import attend
from ..kernels.noise import Noise
from ..methods.policy import Policy
from .attention import Attention, Own
from .cache import KVCache
from .layer import Shape
from .model import Model, Tokenizer, eos_ids, forward, own_attention, shape_of
from .prefill import Prefill
from .rows import Generation, Request, Row
from .sampler import Greedy, Sampler
from .trace import Trace


@dataclass(kw_only=True)
class Decoder:
    """Decodes requests on one device, with room for prompts of `longest_prompt` tokens."""

    model: Model
    policy: Policy
    sampler: Sampler
    max_tokens: int
    longest_prompt: int
    batch_size: int
    seed: int = 0
    attention: Attention = field(default_factory=Own)
    look: int = 1  # steps at most between two looks at what was chosen
    trace: int = 0  # write the cache of the first so many rows, below output_dir
    output_dir: Path | None = None
    steps: int = field(init=False, default=0)

    @classmethod
    def check(cls, shape: Shape, device: torch.device) -> None:
        """ValueError for what this engine cannot run; asked before weights are loaded, too."""
        attend.check(shape.dim, device)

    def __post_init__(self) -> None:
        if self.trace and self.output_dir is None:
            raise ValueError(f"trace={self.trace} needs an output_dir")
        self.tracing = Trace(folder=(self.output_dir or Path()) / "trace", num_rows=self.trace)
        parameter = next(self.model.parameters())
        self.device, shape = parameter.device, shape_of(self.model.config)
        self.check(shape, self.device)
        self.attention.check(self.policy, parameter.dtype, self.device)
        self.rows: list[Row | None] = [None] * self.batch_size
        self.ends = eos_ids(self.model)
        self.eos = torch.tensor(sorted(self.ends), device=self.device)
        # what a step reads and writes, always in the same place
        self.tokens = torch.zeros(self.batch_size, dtype=torch.int64, device=self.device)  # the last of each row
        self.num_chosen = torch.zeros_like(self.tokens)
        self.chosen = torch.zeros(self.batch_size, self.look, dtype=torch.int64, device=self.device)  # since the look
        self.cursor = torch.zeros(1, dtype=torch.int64, device=self.device)  # the column of `chosen` that is next
        self.cache = KVCache(
            policy=self.policy,
            shape=shape,
            batch_size=self.batch_size,
            longest_prompt=self.longest_prompt,
            longest=self.longest_prompt + self.max_tokens,
            dtype=parameter.dtype,
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
        length = len(request.prompt)
        if not 0 < length <= self.longest_prompt:
            raise ValueError(f"sample {request.sample}: prompt of {length} tokens, not 1 to {self.longest_prompt}")
        start = time.perf_counter()
        prompt = torch.tensor([list(request.prompt)], device=self.device)
        self.cache.admit(index, prompt.shape[1], Noise.key(self.seed, request.sample, request.draw))
        positions = torch.arange(prompt.shape[1], device=self.device)[None]
        logits = forward(self.model, prompt, positions, Prefill(cache=self.cache, row=index))
        at = torch.tensor([index], device=self.device)
        token = self.choose(logits, self.cache.noise.rows(at), torch.zeros_like(at))
        self.tokens[index], self.num_chosen[index] = token[0].clamp(min=0), 1
        now = time.perf_counter()
        self.tracing.admitted(self.cache, index, f"{request.sample}-{request.draw}")
        row = self.rows[index] = Row(request=request, prefill_s=now - start, started=now)
        self.read(row, int(token))
        if row.stop is None and index in self.cache.due():
            self.evict([index])

    def evict(self, rows: Sequence[int]) -> None:
        self.tracing.before(self.cache, rows)
        self.round(rows)
        self.cache.evicted(rows)
        self.tracing.after(self.cache, rows)

    def round(self, rows: Sequence[int]) -> None:
        """Drop what these rows have too much, on the device."""
        self.cache.drop(torch.tensor(rows, device=self.device), self.cache.numbers(rows).to(self.device))

    def burst(self) -> int:
        """Steps until the host has something to do: a row that is due or at its end, or a look."""
        live = [(row, clock) for row, clock in zip(self.rows, self.cache.clocks, strict=True) if row]
        ends = [self.max_tokens - len(row.token_ids) for row, _ in live]
        return min(self.look, *ends, *(clock.steps_to_due or self.look for _, clock in live))

    def advance(self, count: int) -> None:
        """So many steps, then a look at what they chose."""
        self.cache.ahead = count
        if self.cache.reserve():
            self.moved()
        for _ in range(count):
            self.step()
        self.steps += count
        for index, (row, tokens) in enumerate(zip(self.rows, self.chosen[:, :count].tolist(), strict=True)):
            if row:
                taken = 0
                while row.stop is None and taken < count:
                    self.read(row, tokens[taken])
                    taken += 1
                self.cache.count(index, taken)
        self.restart()

    def moved(self) -> None:
        """The cache has taken new memory."""

    def step(self) -> None:
        """One token for every row, on the device alone."""
        logits = forward(self.model, self.tokens[:, None], self.cache.positions[:, None], self.cache)
        token = self.choose(logits, self.cache.noise, self.num_chosen)
        self.chosen.index_copy_(1, self.cursor, token[:, None])
        self.tokens.copy_(token.clamp(min=0))
        self.num_chosen += 1
        self.cursor.add_(1).remainder_(self.look)
        self.cache.advance((token >= 0) & (token[:, None] != self.eos).all(-1))

    def choose(self, logits: Tensor, noise: Noise, num_chosen: Tensor) -> Tensor:
        """Next tokens [B] of rows with logits [B, V]; -1 where these are not finite."""
        return self.sampler(logits, noise, num_chosen).masked_fill(~logits.sum(-1, dtype=torch.float32).isfinite(), -1)

    def read(self, row: Row, token: int) -> None:
        """Take a token that was chosen for a row."""
        if token < 0:
            row.stop = "error"
            return
        row.token_ids.append(token)
        if token in self.ends:
            row.stop = "eos"
        elif len(row.token_ids) == self.max_tokens:
            row.stop = "length"

    def lengths(self) -> list[int]:
        """Tokens so far of each row under way."""
        return [len(row.token_ids) for row in self.rows if row]

    def restart(self) -> None:
        """No token was chosen since the last look."""
        self.cursor.zero_()

    def abandon(self) -> None:
        """Forget the rows that have not ended, so that a later run starts afresh."""
        self.rows = [None] * self.batch_size
        self.restart()
        for index, clock in enumerate(self.cache.clocks):
            if clock:
                self.cache.release(index)

    def collect(self) -> Iterator[Generation]:
        """Hand over the rows that have stopped and free their places."""
        for index, row in enumerate(self.rows):
            if row is None or row.stop is None:
                continue
            self.rows[index] = None
            self.tracing.released(index)
            yield Generation(
                sample=row.request.sample,
                draw=row.request.draw,
                token_ids=row.token_ids,
                stop=row.stop,
                prompt_tokens=len(row.request.prompt),
                usage=self.cache.release(index),
                prefill_s=row.prefill_s,
                decode_s=time.perf_counter() - row.started,
            )


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
