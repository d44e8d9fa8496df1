"""What goes into the decode loop, what it keeps of it while it runs, and what comes out."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ..cache import Usage
from .logprobs import Logprobs
from .watcher import Watcher

Stop = Literal["eos", "length", "string", "error"]


class Request(NamedTuple):
    sample: str
    draw: int
    prompt: Sequence[int]  # token ids, at least one
    completion: Sequence[int] = ()  # to be said whatever the model would choose; none: it chooses

    @property
    def key(self) -> tuple[str, int]:
        return self.sample, self.draw

    def check(self, longest: int) -> None:
        if not 0 < (length := len(self.prompt)) <= longest:
            raise ValueError(f"sample {self.sample}: prompt of {length} tokens, not 1 to {longest}")

    def check_positions(self, max_tokens: int, positions: int | None) -> None:
        if positions is not None and len(self.prompt) + max_tokens > positions:
            raise ValueError(
                f"sample {self.sample}: prompt of {len(self.prompt)} tokens and max_tokens={max_tokens} "
                f"exceed the {positions} positions of the model: lower max_tokens"
            )


class Generation(NamedTuple):
    sample: str
    draw: int
    token_ids: list[int]  # without the prompt; the eos token, or those of a stop string, included
    stop: Stop
    prompt_tokens: int
    usage: Usage
    prefill_s: float  # waited for with those that began together, its part; the first of a pass wait for all of it
    decode_s: float  # from the prefill to the end, neighbours' work included
    seen: Any = None  # what a teacher saw of it
    logprobs: Sequence[Logprobs] | None = None  # one a token; None: not asked for
    text: str | None = None  # up to a stop string, without special tokens; None: nobody spelt it


@dataclass(kw_only=True)
class RunningSequence:
    """A request that has a row."""

    request: Request
    prefill_s: float
    started: float
    watcher: Watcher | None = None
    token_ids: list[int] = field(default_factory=list)
    stop: Stop | None = None

    def left(self, max_tokens: int) -> int:
        """Tokens that it may still say."""
        return (len(self.request.completion) or max_tokens) - len(self.token_ids)

    def take(self, tokens: Sequence[int], ends: Collection[int], max_tokens: int) -> int:
        """Take tokens that were chosen, -1 for none, up to the one that stops the sequence; says how many these are."""
        plain = not (self.stop or self.watcher) and len(tokens) < self.left(max_tokens)
        if plain and min(tokens) >= 0 and not any(token in ends for token in tokens):  # nearly always
            self.token_ids += tokens
            return len(tokens)
        taken = 0
        while self.stop is None and taken < len(tokens):
            token = tokens[taken]
            taken += 1
            if token < 0:
                self.stop = "error"
                break
            self.token_ids.append(token)
            if token in ends:
                self.stop = "eos"
            elif not self.left(max_tokens):
                self.stop = "length"
            if self.watcher and self.watcher(token, last=self.stop is not None):
                self.stop = "string"
        return taken

    def ended(self, usage: Usage, seen: Any = None, logprobs: Sequence[Logprobs] | None = None) -> Generation:
        assert self.stop
        return Generation(
            sample=self.request.sample,
            draw=self.request.draw,
            token_ids=self.token_ids,
            stop=self.stop,
            prompt_tokens=len(self.request.prompt),
            usage=usage,
            prefill_s=self.prefill_s,
            decode_s=time.perf_counter() - self.started,
            seen=seen,
            logprobs=logprobs,
            text=self.watcher.text if self.watcher else None,
        )
