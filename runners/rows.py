"""What goes into the decode loop, what it keeps of a row under way, and what comes out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from .clock import Usage

Stop = Literal["eos", "length", "error"]


class Request(NamedTuple):
    sample: str
    draw: int
    prompt: Sequence[int]  # token ids, at least one


class Generation(NamedTuple):
    sample: str
    draw: int
    token_ids: list[int]  # without the prompt; the eos token, where there is one, included
    stop: Stop
    prompt_tokens: int
    usage: Usage
    prefill_s: float
    decode_s: float  # from the prefill to the end, neighbours' work included


@dataclass(kw_only=True)
class Row:
    request: Request
    prefill_s: float
    started: float
    token_ids: list[int] = field(default_factory=list)
    stop: Stop | None = None
