"""Generated problems as a sequence of samples: one problem a seed, training and evaluation on either side of 2**30."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, overload

from ..task import Sample

TRAINING_SEEDS = range(2**30)
EVALUATION_SEED = 2**30  # the first one that no model of ours was trained on


@dataclass(frozen=True, kw_only=True)
class Problem:
    question: str
    chain: str  # the reasoning that leads to the answer, without <think> and </think>
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict)  # what the grader needs; JSON, since it goes into the record

    @property
    def completion(self) -> str:
        """What a model should write after the prompt."""
        return f"<think> {self.chain} </think> {self.answer}"


class Generator(Protocol):
    @property
    def name(self) -> str: ...

    def problem(self, seed: int) -> Problem: ...

    def __hash__(self) -> int: ...


@lru_cache(maxsize=2**13)
def drawn(generator: Generator, seed: int) -> Problem:
    """A problem is drawn once for all the runs of a sweep."""
    return generator.problem(seed)


@dataclass(frozen=True, kw_only=True)
class Problems(Sequence[Sample]):
    generator: Generator
    size: int = 512
    first_seed: int = EVALUATION_SEED
    allow_training_seeds: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size}: at least 1 is needed")
        if self.first_seed in TRAINING_SEEDS and not self.allow_training_seeds:
            raise ValueError(
                f"first_seed={self.first_seed} may have been trained on: start at {EVALUATION_SEED} or later, "
                "or set allow_training_seeds=true"
            )

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        places = range(self.size)[index]  # checks bounds and counts from the end as a list does
        if isinstance(places, range):
            return tuple(self._sample(self.first_seed + place) for place in places)
        return self._sample(self.first_seed + places)

    def _sample(self, seed: int) -> Sample:
        problem = drawn(self.generator, seed)
        return Sample(
            id=f"{self.generator.name}-{seed}", question=problem.question, target=problem.answer, meta=problem.meta
        )
