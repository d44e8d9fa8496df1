"""The keys of conf/common.yaml and conf/benchmark.yaml, and what each may be."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from ...methods.policy import Policy
from ...tasks.task import Task
from ..attention import Attention
from ..cache import Storage
from ..generate import Decoder
from ..model import Checkpoint, Config
from ..sampler import Sampler
from .logger import Logger
from .schema import Section
from .workers import Backend

Text = Annotated[str, MinLen(1)]
Seconds = Annotated[float, Gt(0), Le(1e6)]  # no timer takes more
Kind = Literal["weights", "tokenizer", "code", "calibration"]
Many = Annotated[int, Ge(1), Le(10_000)]  # of every sample, all of which are listed
Level = dict[str, float]
TorchSeed = Annotated[int, Ge(0), Lt(2**63)]


@dataclass(frozen=True, kw_only=True)
class Compression(Section):
    ratio: float | None = None
    tokens: PositiveInt | None
    share: float | None = None
    bytes: Annotated[float, Gt(0), Le(1)] | None = None
    recent: int | None
    interval: int | None


@dataclass(frozen=True, kw_only=True)
class Cluster(Section):
    address: Text | None


@dataclass(frozen=True, kw_only=True)
class Share(Section):
    index: NonNegativeInt
    of: PositiveInt


@dataclass(frozen=True, kw_only=True)
class Evaluation(Section):
    model: Checkpoint
    method: Policy
    task: Task
    compression: Compression
    sampler: Sampler
    engine: partial[Decoder]
    attention: Attention
    workers: Backend
    logger: Logger
    data_dir: Text | None
    levels: dict[str, Level] | None
    difficulty: str
    num_samples: PositiveInt | None
    num_draws: Many
    num_problems: PositiveInt | None = None
    seed: int
    max_tokens: PositiveInt
    device: Text
    num_workers: PositiveInt
    tensor_parallel: PositiveInt = 1
    ray: Cluster
    grading_s: Seconds
    share: Share
    cache: Storage | None = None  # null: as before there was a choice
    accept_changed: Kind | list[Kind] | None = None
    dry_run: bool
    runs_dir: Text
    output_dir: Text | None
    lengths: Text | None = None
    reference: Text | None = None  # of kvarena-fidelity, like the next
    texts: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Benchmark(Section):
    shape: Config
    method: Policy
    compression: Compression
    sampler: Sampler
    engine: partial[Decoder]
    attention: Attention
    batch_size: PositiveInt | None
    positions: Annotated[list[PositiveInt], MinLen(1)]
    longest: PositiveInt
    steps: PositiveInt
    stagger: bool
    gate: NonNegativeInt
    regret: NonNegativeFloat
    seed: TorchSeed
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Text
    dry_run: bool
    resume: bool
    output: Text
    cache: Storage | None = None
