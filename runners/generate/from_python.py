"""The use from Python: prompts in, generations out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

from ...methods.policy import Policy
from ...methods.settings import fit, shown
from ..cache import PLAIN, Storage, Trace
from ..model import Model, Tokenizer, positions_of
from ..sampler import Greedy, Sampler
from .decoder import Decoder
from .prompt_ids import Prompts, prompt_ids
from .request import Generation, Request
from .speech import OnToken, Speech
from .spelling import text_of


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Prompts,
    policy: Policy,
    *,
    max_tokens: int,
    sampler: Sampler | None = None,
    seed: int = 0,
    batch_size: int = 16,
    stop: Sequence[str] = (),
    n: int = 1,
    logprobs: int | None = None,
    on_token: OnToken | None = None,
    trace: str | Path | None = None,
    storage: Storage = PLAIN,
) -> list[Generation]:
    """Continue each prompt under a policy, `n` times; in order, the draws of a prompt together (docs/python.md).

    A string is taken as it is, a chat goes through the tokenizer's template. `stop`: strings that end a completion.
    `logprobs`: of so many most probable tokens at each choice. `trace`: a new folder for the caches of all.
    `storage`: how keys and values are kept (docs/cache.md).
    """
    sampler = sampler or Greedy()
    check(model, tokenizer, policy, sampler, on_token, stop)
    max_tokens, n = fit("max_tokens", max_tokens, PositiveInt), fit("n", n, PositiveInt)
    if n > 1 and not (sampler.stochastic or policy.stochastic):
        raise ValueError(f"n={n}: nothing is drawn, so all would be equal; use n=1, or sampler=Sampling(...)")
    requests = asked(model, tokenizer, prompts, n, max_tokens)
    if not requests:
        return []
    decoder = Decoder(
        model=model,
        policy=policy,
        sampler=sampler,
        max_tokens=max_tokens,
        longest_prompt=max(len(request.prompt) for request in requests),
        batch_size=batch_size,
        seed=fit("seed", seed, int),
        storage=fit("storage", storage, Storage),
        logprobs=fit("logprobs", logprobs, PositiveInt | None),
        watch=partial(Speech, tokenizer=tokenizer, stop=stop, on_token=on_token) if stop or on_token else None,
    )
    if trace is not None:
        decoder.tracing = Trace(folder=new_folder(trace), num_rows=len(requests))
    done = {(each.sample, each.draw): spelt(each, tokenizer) for each in decoder.run(requests)}
    return [done[request.key] for request in requests]


def asked(model: Model, tokenizer: Tokenizer, prompts: Prompts, n: int, max_tokens: int) -> list[Request]:
    """Each prompt `n` times; what the model cannot read is refused."""
    read = prompt_ids(prompts, tokenizer, model.config.get_text_config().vocab_size)
    requests = [Request(str(index), draw, ids) for index, ids in enumerate(read) for draw in range(n)]
    for request in requests:
        request.check_positions(max_tokens, positions_of(model.config))
    return requests


def check(model: Any, tokenizer: Any, policy: Any, sampler: Any, on_token: Any, stop: Any) -> None:
    """ValueError for what is of another kind."""
    for name, value, loads in (("model", model, "AutoModelForCausalLM"), ("tokenizer", tokenizer, "AutoTokenizer")):
        if isinstance(value, str | Path):
            raise ValueError(f"{name}={value} is a path: give {loads}.from_pretrained({str(value)!r})")
    fit("policy", policy, Policy)
    fit("sampler", sampler, Sampler)
    if not (on_token is None or callable(on_token)):
        raise ValueError(f"on_token={shown(on_token)}: use a function of sample, draw, token_id and text")
    if isinstance(stop, str):
        raise ValueError(f"stop={stop!r}: one str, give a list of them")
    fit("stop", stop, Sequence[str])
    if "" in stop:
        raise ValueError("stop holds '', which stands in every text: give strings of one character or more")


def new_folder(trace: str | Path) -> Path:
    folder = Path(fit("trace", trace, str | Path))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"trace={folder} is there and not empty: give a new folder")
    return folder


def spelt(generation: Generation, tokenizer: Tokenizer) -> Generation:
    """With its text, where nobody has watched it and the tokenizer spells at all."""
    if generation.text is not None or not hasattr(tokenizer, "decode"):
        return generation
    return generation._replace(text=text_of(generation.token_ids, tokenizer))
