"""The keys of conf/refill.yaml and conf/whole_run.yaml, and what each may be."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from kvarena.methods.policy import Policy
from kvarena.runners.attention import Attention
from kvarena.runners.generate import Decoder
from kvarena.runners.job.given import refuse_given
from kvarena.runners.job.keys import Compression, Text, TorchSeed
from kvarena.runners.job.schema import Section, check_plain, checked
from kvarena.runners.job.typed import refuse_rows
from kvarena.runners.model import Config
from omegaconf import DictConfig
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt


@dataclass(frozen=True, kw_only=True)
class CompletionSizes(Section):
    median: PositiveFloat
    sigma: NonNegativeFloat
    cap: PositiveInt


@dataclass(frozen=True, kw_only=True)
class PromptSizes(Section):
    median: PositiveFloat
    sigma: NonNegativeFloat
    least: PositiveInt
    most: PositiveInt


@dataclass(frozen=True, kw_only=True)
class MixOfRequests(Section):
    samples: PositiveInt
    draws: PositiveInt
    prompt: PromptSizes
    completion: CompletionSizes


@dataclass(frozen=True, kw_only=True)
class Timed(Section):
    """Of both."""

    shape: Config
    method: Policy
    engine: partial[Decoder]
    attention: Attention
    compression: Compression
    batch_size: PositiveInt
    seed: TorchSeed
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Text
    output: Text


@dataclass(frozen=True, kw_only=True)
class TimedRefill(Timed):
    num_requests: PositiveInt
    prompt: PositiveInt
    lengths: CompletionSizes


@dataclass(frozen=True, kw_only=True)
class TimedRun(Timed):
    mix: MixOfRequests
    order: Literal["given", "predicted", "known"]
    error: NonNegativeFloat
    steps: PositiveInt


def timed_config(section: type[Timed], config: DictConfig, overrides: Iterable[str]) -> DictConfig:
    """Resolved; ValueError for a key that is none, or has another type, and for what would be overruled."""
    refuse_rows(overrides)
    check_plain(section, config)
    config = DictConfig(checked(section, config))
    refuse_given(config.engine)
    return config
