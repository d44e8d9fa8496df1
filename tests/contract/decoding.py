"""Three prompts decoded by the tiny model under a method."""

from collections.abc import Iterable, Sequence
from functools import cache

import torch
from kvarena.methods.policy import Policy
from kvarena.runners.cache import PLAIN, Storage
from kvarena.runners.generate import Decoder, Generation, Request
from kvarena.runners.sampler import Greedy, Sampler
from transformers import PreTrainedModel

from .policies import policy_of, storage_of

MAX_TOKENS = 44
PROMPTS = {"long": 30, "short": 10, "one": 1}  # tokens; the first is above the budget
# of 43 steps (the last token is never appended): 2, 10, ... 42; 22, 30, 38; 31, 39
ROUNDS = {"long": 6, "short": 3, "one": 2}
FEW = 24  # tokens, where three rounds of the long prompt and one of the short do


def request(name: str, length: int | None = None, draw: int = 0) -> Request:
    """Random tokens, those of its name."""
    length = PROMPTS[name] if length is None else length
    tokens = torch.randint(0, 64, (length,), generator=torch.Generator().manual_seed(sum(map(ord, name))))
    return Request(name, draw, tokens.tolist())


ALL = [request(name) for name in PROMPTS]


def decode(
    model: PreTrainedModel,
    policy: Policy,
    requests: Sequence[Request],
    *,
    sampler: Sampler | None = None,
    batch_size: int = 3,
    max_tokens: int = MAX_TOKENS,
    seed: int = 0,
    storage: Storage = PLAIN,
) -> list[Generation]:
    """In the order of their ends."""
    decoder = Decoder(
        model=model,
        policy=policy,
        sampler=sampler or Greedy(),
        max_tokens=max_tokens,
        longest_prompt=40,
        batch_size=batch_size,
        seed=seed,
        storage=storage,
    )
    return list(decoder.run(requests))


@cache
def baseline(model: PreTrainedModel, method: str) -> list[Generation]:
    """The three prompts under the small budget."""
    return decode(model, policy_of(method), ALL, storage=storage_of(method))


def tokens_of(generations: Iterable[Generation], most: int = MAX_TOKENS) -> dict[str, list[int]]:
    return {done.sample: done.token_ids[:most] for done in generations}
