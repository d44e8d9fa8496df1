"""Texts forced through the loop under dense, then under a method.

B rows, T tokens of a text, E hidden size.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ...methods.full import Full
from ...methods.policy import Policy
from ..cache import PLAIN
from ..generate import Decoder, Generation, Request
from ..model import (
    Model,
    Tokenizer,
    eos_ids,
    output_projection,
    output_states,
    plain_tokens,
    positions_of,
    transformers_logits,
)
from ..sampler import Greedy
from .drift import Drift
from .teacher import Examiner, Key, Scribe

Engine = Callable[..., Decoder]  # a Decoder class, or one with some arguments given


def dense_states(model: Model, requests: Sequence[Request], engine: Engine, batch_size: int) -> dict[Key, Tensor]:
    """[T, E] of each text: what dense's output projection sees before each of its tokens; in a plain cache, always."""
    check_texts(model, requests)
    check_head(model)
    scribe = Scribe(model, batch_size=batch_size, longest=longest(requests))
    done = force(model, Full(), requests, partial(engine, storage=PLAIN), batch_size, scribe)
    return {(one.sample, one.draw): one.seen for one in done}


def force(
    model: Model, policy: Policy, requests: Sequence[Request], engine: Engine, batch_size: int, teacher: Scribe
) -> list[Generation]:
    """One generation a text, in the order in which they end."""
    decoder = engine(
        model=model,
        policy=policy,
        sampler=Greedy(),
        max_tokens=longest(requests),
        longest_prompt=max(len(request.prompt) for request in requests),
        batch_size=batch_size,
        teacher=teacher,
    )
    return list(decoder.run(requests))


def longest(requests: Sequence[Request]) -> int:
    """Tokens of the longest text, its prompt left out."""
    return max(len(request.completion) for request in requests)


def fidelity(
    model: Model,
    tokenizer: Tokenizer,
    texts: Sequence[tuple[str | Sequence[int], str | Sequence[int]]],
    policy: Policy,
    *,
    batch_size: int = 16,
    engine: Engine = Decoder,
) -> list[Drift]:
    """How far a policy drifts from dense on each text: a prompt and its completion, as strings or as token ids.

    ValueError for a text that is empty, goes on behind an end token, or is longer than the model's positions. A number
    means something on the model's own completions of the prompts (docs/fidelity.md).
    """
    requests = [
        Request(str(index), 0, token_ids(prompt, tokenizer), token_ids(completion, tokenizer))
        for index, (prompt, completion) in enumerate(texts)
    ]
    if not requests:
        return []
    states = dense_states(model, requests, engine, batch_size)
    examiner = Examiner(model, batch_size=batch_size, longest=longest(requests), states=states)
    done = force(model, policy, requests, engine, batch_size, examiner)
    drifts = {one.sample: one.seen for one in done}
    return [drifts[request.sample] for request in requests]


def token_ids(text: str | Sequence[int], tokenizer: Any) -> Sequence[int]:
    return tokenizer(text, add_special_tokens=False).input_ids if isinstance(text, str) else text


@torch.inference_mode()
def check_head(model: Model) -> None:
    """Refuse a family whose logits are not what its output projection makes of the last hidden states."""
    tokens, head = plain_tokens(model, 4)[None], output_projection(model)
    logits = nn.functional.linear(output_states(model, tokens), head.weight, head.bias)
    if not logits.isfinite().all():
        raise ValueError(
            "the model's logits are not finite: its weights are broken, or model.dtype is too small for them"
        )
    if not torch.equal(logits, transformers_logits(model, tokens)):
        raise ValueError("the model does more to its logits than its output projection: no fidelity of this family")


def check_texts(model: Model, requests: Sequence[Request]) -> None:
    most, size, ends = positions_of(model.config), model.config.get_text_config().vocab_size, eos_ids(model)
    for sample, _, prompt, completion in requests:
        if not prompt:
            raise ValueError(f"text {sample} has no prompt: give one token of it at least")
        if not completion:
            raise ValueError(f"text {sample} has no completion: there is nothing to compare")
        early = [index for index, token in enumerate(completion[:-1]) if token in ends]
        if early:
            raise ValueError(f"text {sample} goes on behind an end token, its token {early[0]}: cut it there")
        if most is not None and (length := len(prompt) + len(completion)) > most:
            raise ValueError(f"text {sample} has {length} tokens, the model {most} positions: cut it")
        if not all(0 <= token < size for token in chain(prompt, completion)):
            raise ValueError(f"text {sample} holds a token that is not of the model's {size}")
