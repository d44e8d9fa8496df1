"""What the report reads of run.json, and its types; there is more in it, which is kept."""

from pathlib import Path
from typing import Any, NotRequired

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict

from ..runners.record import check

ADVICE = "run it again, or move it away"


class Part(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]


class Budget(Part):
    tokens: NotRequired[int | None]
    interval: NotRequired[int]
    recent: NotRequired[int]
    prefill: NotRequired[bool]


class Method(Part):
    budget: NotRequired[Budget]


class Compression(Part):
    ratio: NotRequired[float | None]


class Engine(Part):
    batch_size: NotRequired[int | None]


class Model(Part):
    dtype: NotRequired[str]


class Config(Part):
    model: NotRequired[Model]
    sampler: NotRequired[dict[str, Any]]
    max_tokens: NotRequired[int]
    method: NotRequired[Method]
    compression: NotRequired[Compression]
    engine: NotRequired[Engine]


class Halving(Part):
    to: int


class Fingerprints(Part):
    weights: NotRequired[dict[str, str] | None]


class Shape(Part):
    layers: int


class Header(Part):
    num_samples: int
    num_draws: int
    config: NotRequired[Config]
    halvings: NotRequired[list[Halving]]
    fingerprints: NotRequired[Fingerprints]
    template_sha256: NotRequired[str]
    prompts_sha256: NotRequired[str]
    shape: NotRequired[Shape]
    batch_variant: NotRequired[bool]
    random_weights: NotRequired[bool]


HEADER = TypeAdapter(Header)


def checked(header: dict[str, Any], file: Path) -> dict[str, Any]:
    if missing := [name for name in ("num_samples", "num_draws") if name not in header]:
        raise ValueError(f"{file} lacks {', '.join(missing)}: {ADVICE}")
    return dict(check(header, HEADER, file, ADVICE))
