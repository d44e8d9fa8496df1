"""Generators that draw a problem again until its reasoning is as long as was asked for."""

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

from .problems import Problem

MAX_DRAWS = 10_000


@dataclass(frozen=True, kw_only=True)
class Redrawn(ABC):
    min_chain: int = 1  # words of the reasoning: problems that are done sooner or later than that are drawn again
    max_chain: int = 1 << 16

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    def draw(self, rng: random.Random) -> Problem | None:
        """None: nothing worth asking was drawn."""

    def problem(self, seed: int) -> Problem:
        # a string is hashed by SHA-512: the same numbers on every platform, others for every size
        rng = random.Random(f"{self.name}-{seed}")
        for _ in range(MAX_DRAWS):
            problem = self.draw(rng)
            if problem and self.min_chain <= len(problem.chain.split()) <= self.max_chain:
                return problem
        raise ValueError(
            f"min_chain={self.min_chain}, max_chain={self.max_chain}: none of {MAX_DRAWS} problems of {self.name} took "
            "that many words; widen the range"
        )
