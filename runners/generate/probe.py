"""Does a model do what we take it to do? Asked before any row, of the model as it will run; anything else is refused.

A few tokens go through a cache of their own, prompts and single tokens. The model must attend once in each layer, in
order, and place a token by its position alone; its logits must be those of transformers without us. No noise is drawn,
and nothing of it stays.

B rows, S tokens, H KV heads, Hq query heads, L layers, D head dim, V tokens of the vocabulary.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ...methods.full import Full
from ..attention import Attention
from ..cache import KVCache, Shape, memory
from ..model import (
    MASKED,
    Model,
    forward,
    misplaced,
    own_attention,
    plain_tokens,
    positions_of,
    transformers_logits,
    transformers_steps,
)
from ..parallel import is_loss
from .prefill import Prompt
from .watched import Placed, Watched

PROMPTS = (6, 3)  # tokens of the first row, and of the last
STEPS = 3
EXACT = 1e-4  # allowed in float32, or so much of the deviation of large logits
# allowed in half precision, root mean square in deviations of the logits: .04 in a random 14B on a GPU, .17 in SmolLM2,
# which in bfloat16 is .08 off itself in float32
ROUNDED = 0.25
NOISE = 3  # or so many times what transformers' own ways, with and without its cache, differ by
NEAR = 5  # a position that most rotations turn


@dataclass(kw_only=True)
class Probe:
    """Made before an engine touches the model, asked after it."""

    model: Model
    shape: Shape
    batch_size: int
    longest: int  # positions of the run
    attention: Attention

    def __post_init__(self) -> None:
        self.sizes = PROMPTS[: self.batch_size]
        self.rows = [0, self.batch_size - 1][: len(self.sizes)]
        lengths = [size + STEPS for size in self.sizes]
        with refusing(self.model):
            self.tokens = plain_tokens(self.model, sum(lengths)).split(lengths)
        with refusing(self.model, ", nor in transformers alone"), torch.inference_mode():
            last = [transformers_logits(self.model, own[None])[0, -STEPS - 1 :].float() for own in self.tokens]
            self.expected = torch.stack(last)  # [R, 1 + STEPS, V]
            self.noise = 0.0
            if self.model.dtype != torch.float32:
                own = zip(self.tokens, self.sizes, strict=True)
                steps = [transformers_steps(self.model, tokens, size).float() for tokens, size in own]
                self.noise = typical_distance(torch.stack(steps), self.expected)

    def scales(
        self, single_tokens: Callable[[], AbstractContextManager[None]], prompts: Callable[..., Prompt] = Prompt
    ) -> list[float]:
        """[L] by which each layer scales its logits; the engine reads `prompts`, and steps inside `single_tokens`."""
        with refusing(self.model), torch.inference_mode(), own_attention(self.model):
            self.check_masks()
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
        with refusing(self.model), torch.inference_mode():
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
            logits.append(prompt.forward(self.model, tokens[:size].tolist(), attends=watched)[0].clone())
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

    def check_masks(self) -> None:
        """A token must see all before it and none behind, however far they are."""
        tokens = self.tokens[0][None]
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        with own_attention(self.model, MASKED):
            forward(self.model, tokens, positions, Placed())

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
        measure = distance if exact else typical_distance
        if not (found := measure(logits, self.expected)) <= allowed:
            why = misplaced(self.model, self.tokens[0][None])
            raise ValueError(
                f"its logits through our cache are {found:.2g} off those of transformers, {allowed:.2g} is allowed"
                + (f": {why}" if why else "")
            )


def distance(logits: Tensor, expected: Tensor) -> float:
    """Largest difference, where the expected ones are numbers; a model may break, and may rule out tokens."""
    off = (logits - expected).abs()[counted(expected)]
    return off.max().item() if len(off) else 0.0


def typical_distance(logits: Tensor, expected: Tensor) -> float:
    """Root mean square over the vocabulary of the token where it is largest."""
    off = (logits - expected).nan_to_num(nan=torch.inf).flatten(0, -2)
    pairs = zip(off, counted(expected).flatten(0, -2), strict=True)
    return max((own[there].square().mean().sqrt().item() for own, there in pairs if there.any()), default=0.0)


def deviation(logits: Tensor) -> float:
    """Largest standard deviation over the vocabulary."""
    return max((own[counted(own)].std().item() for own in logits.flatten(0, 1) if counted(own).sum() > 1), default=0.0)


def counted(logits: Tensor) -> Tensor:
    """Which logits are numbers that say something."""
    return logits.isfinite() & (logits.abs() < torch.finfo(torch.float16).max ** 2)


@contextmanager
def refusing(model: Model, where: str = "") -> Iterator[None]:
    """Whatever a model ends in here, short of memory and ranks, is a refusal in one line."""
    try:
        yield
    except Exception as error:  # code of any family, and what its author did not think of
        if memory.shortage(error) or is_loss(error):
            raise
        reason = " ".join(str(error).split())
        if not isinstance(error, ValueError):
            reason = f"its code ends in {type(error).__name__} {reason}"
        raise ValueError(f"model {model.config.model_type} cannot run here{where}: {reason}") from error
