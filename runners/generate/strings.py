"""The use from Python: strings in, generations out."""

from collections.abc import Sequence

from pydantic import PositiveInt

from ...methods.policy import Policy
from ...methods.settings import fit
from ..model import Model, Tokenizer, positions_of
from ..sampler import Greedy, Sampler
from .decoder import Decoder
from .request import Generation, Request


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
    if isinstance(prompts, str):
        raise ValueError(f"prompts={prompts[:20]!r}: one str, give a list of them")
    max_tokens = fit("max_tokens", max_tokens, PositiveInt)
    requests = [
        Request(str(i), 0, tokenizer(prompt, add_special_tokens=False).input_ids) for i, prompt in enumerate(prompts)
    ]
    if not requests:
        return []
    for request in requests:
        request.check_positions(max_tokens, positions_of(model.config))
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
