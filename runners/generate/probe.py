"""Does a model do what we take it to do? Asked before any row, of the model as it will run; anything else is refused.

A few tokens go through a cache of their own, prompts and single tokens. The model must attend once in each layer, in
order, and place a token by its position alone; its logits must be those of transformers without us. No noise is drawn,
and nothing of it stays.

B rows, S tokens, H KV heads, Hq query heads, L layers, D head dim, V tokens of the vocabulary.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...methods.full import Full
from ..attention import Attention
from ..cache import KVCache, Shape, memory
from ..model import (
    Attends,
    Model,
    forward,
    own_attention,
    plain_tokens,
    positions_of,
    transformers_logits,
    transformers_steps,
)
from .prefill import Prompt

PROMPTS = (6, 3)  # tokens of the first row, and of the last
STEPS = 3
EXACT = 1e-4  # allowed in float32, or so much of the deviation of large logits
ROUNDED = 0.05  # allowed in half precision, deviations of the logits
NOISE = 3  # or so many times what transformers' own ways, with and without its cache, differ by
NEAR = 5  # a position that most rotations turn


@dataclass(kw_only=True)
class Watched:
    """What a model hands to attention."""

    inner: Attends
    shape: Shape
    layers: list[int] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        _, heads, groups, dim = self.shape
        if key.shape[-1] != value.shape[-1]:
            raise ValueError(f"keys have {key.shape[-1]} channels, values {value.shape[-1]}: only equal ones fit")
        sizes = [(part.shape[1], part.shape[3]) for part in (query, key, value)]
        if sizes != [(heads * groups, dim), (heads, dim), (heads, dim)]:
            found = f"{sizes[0][0]} query and {sizes[1][0]} KV heads of {sizes[1][1]}"
            raise ValueError(f"layer {index} has {found}, its config says {heads * groups} and {heads} of {dim}")
        self.layers.append(index)
        self.scales.append(scale)
        return self.inner.attend(index, query, key, value, scale)


@dataclass(kw_only=True)
class Placed:
    """Queries and keys that a model has placed in its sequence; nothing is attended to."""

    tensors: list[Tensor] = field(default_factory=list)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        self.tensors += [query, key]
        return value.repeat_interleave(query.shape[1] // value.shape[1], 1).transpose(1, 2)


@dataclass(kw_only=True)
class Probe:
    """Made before an engine touches the model, asked after it."""

    model: Model
    shape: Shape
    batch_size: int
    longest: int  # positions of the run
    attention: Attention

    def __post_init__(self) -> None:
        sizes = PROMPTS[: self.batch_size]
        tokens = plain_tokens(self.model, sum(sizes) + STEPS * len(sizes)).split([size + STEPS for size in sizes])
        self.tokens, self.sizes, self.rows = tokens, sizes, [0, self.batch_size - 1][: len(sizes)]
        with refusing(self.model), torch.inference_mode():
            last = [transformers_logits(self.model, own[None])[0, -STEPS - 1 :].float() for own in tokens]
            self.expected = torch.stack(last)  # [R, 1 + STEPS, V]
            self.noise = 0.0
            if self.model.dtype != torch.float32:
                own_steps = transformers_steps(self.model, tokens[0], sizes[0])
                self.noise = distance(own_steps.float(), self.expected[0])

    def scales(
        self, single_tokens: Callable[[], AbstractContextManager[None]], prompts: Callable[..., Prompt] = Prompt
    ) -> list[float]:
        """[L] by which each layer scales its logits; the engine reads `prompts`, and steps inside `single_tokens`."""
        with refusing(self.model), torch.inference_mode(), own_attention(self.model):
            self.check_positions()
            cache = KVCache(
                policy=Full(),
                shape=self.shape,
                batch_size=self.batch_size,
                longest_prompt=max(self.sizes),
                longest=max(self.sizes) + STEPS,
                dtype=self.model.dtype,
                device=self.model.device,
                attention=self.attention,
            )
            logits, scales = self.after_prompts(prompts(cache=cache))
            with single_tokens():
                logits = torch.stack([logits, *self.steps(cache)], 1)
            self.check_logits(logits.float())
        return scales

    def after_prompts(self, prompt: Prompt) -> tuple[Tensor, list[float]]:
        """Logits [R, V] after each prompt, and the scale of each layer."""
        cache = prompt.cache
        logits, every = [], list(range(self.shape.layers))
        scales: list[float] = []
        for row, tokens, size in zip(self.rows, self.tokens, self.sizes, strict=True):
            cache.admit(row, size, (0, 0))
            watched = Watched(inner=prompt, shape=self.shape)
            logits.append(prompt.forward(self.model, tokens[:size].tolist(), watched)[0].clone())
            if watched.layers != every:
                raise ValueError(f"not each of its {len(every)} layers attends once, in order, by AttentionInterface")
            if scales not in ([], watched.scales):
                raise ValueError("the scale of its attention depends on the prompt")
            cache.seat(torch.tensor([row], device=cache.device), prompt.layers)
            scales = watched.scales
        return torch.stack(logits), scales

    def steps(self, cache: KVCache) -> Iterator[Tensor]:
        """Logits [R, V] after each of the single tokens that follow."""
        last = torch.zeros(self.batch_size, 1, dtype=torch.int64, device=cache.device)
        for step in range(STEPS):
            for row, tokens, size in zip(self.rows, self.tokens, self.sizes, strict=True):
                last[row] = tokens[size + step]
            yield forward(self.model, last, cache.positions[:, None], cache)[self.rows]
            cache.advance()
            for row in self.rows:
                cache.count(row)
        lengths = torch.stack([layer.lengths[self.rows, 0] for layer in cache.layers]).tolist()
        if lengths != [[size + STEPS for size in self.sizes]] * self.shape.layers:
            raise ValueError("not each of its layers attends once to a single token")

    def check_positions(self) -> None:
        """What a layer makes of a token at one position must not change beside a row that is far ahead."""
        far = min(self.longest, positions_of(self.model.config) or self.longest) - 1
        near = min(NEAR, far)
        beside, alone = self.placed(near, far), self.placed(near, near)
        allowed = 1e-5 if self.model.dtype == torch.float32 else 1e-2
        for one, other in zip(beside, alone, strict=True):
            if not (one[0] - other[0]).abs().max() <= allowed * other[0].abs().max():
                raise ValueError(
                    f"a token at position {near} is turned otherwise beside a row at {far}, so rows would depend on "
                    "their neighbours: lower max_tokens until prompt and completion stay within its first positions"
                )

    def placed(self, *positions: int) -> list[Tensor]:
        """Queries and keys of each layer for one token at these positions, a row each."""
        seen, at = Placed(), torch.tensor(positions, device=self.model.device)[:, None]
        forward(self.model, self.tokens[0][:1].expand(len(positions), 1), at, seen)
        return seen.tensors

    def check_logits(self, logits: Tensor) -> None:
        spread, exact = deviation(self.expected), self.model.dtype == torch.float32
        allowed = EXACT * max(1.0, spread) if exact else max(ROUNDED * spread, NOISE * self.noise)
        if not (found := distance(logits, self.expected)) <= allowed:
            raise ValueError(
                f"its logits through our cache are {found:.2g} off those of transformers, {allowed:.2g} is allowed"
            )


def distance(logits: Tensor, expected: Tensor) -> float:
    """Largest difference, where the expected ones are numbers; a model may break, and may rule out tokens."""
    off = (logits - expected).abs()[counted(expected)]
    return off.max().item() if len(off) else 0.0


def deviation(logits: Tensor) -> float:
    """Largest standard deviation over the vocabulary."""
    return max((own[counted(own)].std().item() for own in logits.flatten(0, 1) if counted(own).sum() > 1), default=0.0)


def counted(logits: Tensor) -> Tensor:
    """Which logits are numbers that say something."""
    return logits.isfinite() & (logits.abs() < torch.finfo(torch.float16).max ** 2)


@contextmanager
def refusing(model: Model) -> Iterator[None]:
    """Whatever a model ends in here, short of memory, is a refusal in one line."""
    try:
        yield
    except Exception as error:  # code of any family, and what its author did not think of
        if memory.shortage(error):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"model {model.config.model_type} cannot run here: {reason}") from error
