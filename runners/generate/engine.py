"""The device's part of decoding: a model, the cache it attends through, and what is chosen.

B rows, R rows whose token is chosen, V tokens of the vocabulary.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from ...kernels import attend
from ...kernels.noise import Noise
from ...methods.policy import Policy
from ...methods.settings import fit
from ..attention import Attention, Own
from ..cache import PLAIN, KVCache, Shape, Storage
from ..model import Model, eos_ids, forward, shape_of
from ..parallel import ALONE, Ranks
from ..sampler import Sampler
from .chooser import Chooser
from .known import known_of
from .logprobs import MostProbable
from .prefill import Prompt
from .probe import Probe
from .teacher import Sees, Teacher
from .token_buffer import TokenBuffer


@dataclass(kw_only=True)
class Engine:
    """Eager PyTorch; another engine runs prompts, steps and rounds otherwise."""

    model: Model
    policy: Policy
    sampler: Sampler
    max_tokens: PositiveInt
    longest_prompt: int
    batch_size: PositiveInt
    attention: Attention = field(default_factory=Own)
    storage: Storage = PLAIN  # of keys and values
    look: PositiveInt = 1  # steps at most between two looks at what was chosen
    teacher: Teacher | None = None  # forces the completions of the requests; None: the sampler chooses
    logprobs: PositiveInt | None = None  # log probabilities of so many tokens at each choice; a teacher makes none
    ranks: Ranks = ALONE  # over which the model is split
    device: torch.device = field(init=False)
    cache: KVCache = field(init=False)
    prompt: Prompt = field(init=False)  # what was read last
    chooser: Chooser = field(init=False)
    buffer: TokenBuffer = field(init=False)
    ends: frozenset[int] = field(init=False)  # tokens that end a sequence
    eos: Tensor = field(init=False)  # the same, on the device
    all_rows: Tensor = field(init=False)  # [B] int64

    @classmethod
    def check(cls, shape: Shape, device: torch.device) -> None:
        """ValueError for what this engine cannot run; asked before weights are loaded, too."""
        attend.check_head_dim(shape.dim, device)

    @classmethod
    def serves(cls, policy: Policy) -> None:
        """ValueError for a method that this engine cannot run."""

    @classmethod
    def agree(cls, settings: Mapping[str, Any]) -> None:
        """ValueError for settings of this engine, by name, of which one has no effect without another."""

    def __post_init__(self) -> None:
        for name in ("max_tokens", "batch_size", "look"):
            setattr(self, name, fit(name, getattr(self, name), PositiveInt))
        self.device, whole = self.model.device, shape_of(self.model.config)
        shape = self.ranks.shape(whole)
        self.serves(self.policy)
        self.check(shape, self.device)
        self.storage.check(whole, self.policy)
        self.attention.check(self.policy, self.model.dtype, self.device, self.storage.packs)
        longest = self.longest_prompt + self.max_tokens
        probe = Probe(
            model=self.model, shape=shape, batch_size=self.batch_size, longest=longest, attention=self.attention
        )
        known = known_of(self.model, shape, self.policy)
        self.fit_layers()
        self.ends = eos_ids(self.model)
        self.eos = torch.tensor(sorted(self.ends), device=self.device)
        self.buffer = TokenBuffer(self.batch_size, self.look, self.device)
        num_tokens = self.model.config.get_text_config().vocab_size
        free = self.teacher is None
        assert free or self.logprobs is None
        history = self.sampler.history(self.batch_size, longest, num_tokens, self.device) if free else None
        probable = None
        if self.logprobs is not None:
            probable = MostProbable(self.logprobs, self.batch_size, self.max_tokens, num_tokens, self.device)
        self.chooser = Chooser(sampler=self.sampler, history=history, teacher=self.teacher, probable=probable)
        self.all_rows = torch.arange(self.batch_size, device=self.device)
        scales = probe.scales(self.single_tokens, self.prompts)
        self.cache = KVCache(
            policy=self.policy,
            shape=shape,
            batch_size=self.batch_size,
            longest_prompt=self.longest_prompt,
            longest=longest,
            dtype=self.model.dtype,
            device=self.device,
            attention=self.attention,
            known=[
                replace(known, scaling=scale, heads=self.ranks.heads(whole))
                for known, scale in zip(known, scales, strict=True)
            ],
            storage=self.storage,
        )
        self.prompt = self.prompts(self.cache, self.chooser.sees)

    def fit_layers(self) -> None:
        """Change the model's layers as the engine needs them."""

    def single_tokens(self) -> AbstractContextManager[None]:
        """The model takes single tokens inside as the engine's steps do."""
        return nullcontext()

    def prompts(self, cache: KVCache, sees: Sees = forward) -> Prompt:
        """What reads them, for the rows of a cache."""
        return Prompt(cache=cache, sees=sees)

    def prepare(self) -> None:
        """Before the first prompt of a run."""

    def begin(self, new: Tensor) -> Tensor:
        """First tokens [R] of rows that begin with prompts that were read.

        new [R, 5] int64: a row, the place of its prompt, the tokens of that, and the two words of its noise.
        """
        new = new.to(self.device)
        rows, places, lengths, *_ = new.mT.contiguous()
        self.cache.begin(rows, lengths, new[:, 3:])
        self.cache.seat(rows, self.prompt.layers, places)
        tokens = self.choose(self.prompt.seen[places], self.cache.noise.rows(rows), rows, torch.zeros_like(rows))
        self.buffer.first(rows, tokens)
        return tokens

    def step(self) -> None:
        """One token for every row in use, on the device alone."""
        used, last, count = self.cache.used, self.buffer.last, self.buffer.count
        rows = slice(used.count)
        seen = self.chooser.sees(self.model, last[rows, None], used.positions[:, None], self.cache)
        token = self.choose(seen, used.noise, self.all_rows[rows], count[rows])
        self.buffer.add(token)
        self.cache.advance((token >= 0) & (token[:, None] != self.eos).all(-1))

    def choose(self, seen: Tensor, noise: Noise, rows: Tensor, num_chosen: Tensor) -> Tensor:
        """Next tokens [R] of `rows` [R] by what is seen [R, V]; -1 where there is none."""
        return self.ranks.agreed(self.chooser(seen, noise, rows, num_chosen))

    def round(self, rows: Sequence[int]) -> None:
        """Drop what these rows have too much, on the device."""
        self.cache.drop(rows)

    def moved(self) -> None:
        """The cache has taken new memory."""
