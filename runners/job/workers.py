"""What a run asks of those who do its work, one worker or many."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import torch

from ..generate import Request
from ..record import Record


class Workers(Protocol):
    @property
    def devices(self) -> Sequence[str]:
        """One a worker."""
        ...

    @property
    def rank_bytes(self) -> Sequence[Sequence[Mapping[str, int]]]:
        """Of each worker whose model is split, what each rank's weights and cache take; none where it is whole."""
        ...

    @property
    def steps(self) -> int: ...

    @property
    def batch_sizes(self) -> Sequence[int]:
        """Rows at a time, one number a worker; halved where memory runs out."""
        ...

    def lengths(self) -> list[int]:
        """Tokens so far of each row under way, as far as it is known."""
        ...

    def run(self, requests: Sequence[Request]) -> Iterator[list[Record]]:
        """Records as they become ready, in no order; an empty list where there are none but something has changed."""
        ...


class Backend(Protocol):
    """A file of conf/workers."""

    def device(self, name: str) -> torch.device | None:
        """The device of this process, None: it computes nothing; ValueError for a name that does not fit."""
        ...

    def open(self, job: Any, longest_prompt: int, output_dir: Path) -> AbstractContextManager[Workers]:
        """Load the models of a Job."""
        ...
