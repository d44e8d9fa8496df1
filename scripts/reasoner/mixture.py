"""Batches of all tasks: rows of one width at a time, a task the more often the less of it is right so far."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from data import Documents
from omegaconf import DictConfig
from torch import Tensor

IGNORED = -100


class Batch(NamedTuple):
    tokens: Tensor  # [B, S] int64
    labels: Tensor  # [B, S] int64: the next token, IGNORED in the prompt and the padding


class DocumentPool(NamedTuple):
    """All documents of one width, task after task."""

    tokens: Tensor  # [N, S] uint8
    starts: Tensor  # [N] int32
    ends: Tensor  # [N] int32


def make_batch(pool: DocumentPool, rows: Tensor) -> Batch:
    document = pool.tokens[rows].long()
    place = torch.arange(1, document.shape[1] + 1, device=document.device)
    learnt = (place >= pool.starts[rows, None]) & (place < pool.ends[rows, None])
    return Batch(document, torch.where(learnt, document.roll(-1, dims=1), IGNORED))


def make_pool(parts: list[Documents], device: str) -> DocumentPool:
    columns = zip(*[vars(part).values() for part in parts], strict=True)
    return DocumentPool(*[torch.cat([torch.from_numpy(piece) for piece in column]).to(device) for column in columns])


class Mixture:
    def __init__(self, rows: Mapping[str, list[Documents]], cfg: DictConfig) -> None:
        self.cfg = cfg
        self.random = torch.Generator().manual_seed(cfg.seed)
        self.pools = [make_pool(list(parts), cfg.device) for parts in zip(*rows.values(), strict=True)]
        # [tasks, widths]: so many documents, and where they begin in their pool
        self.counts = torch.tensor([[len(part.tokens) for part in parts] for parts in rows.values()])
        self.offsets = self.counts.cumsum(0) - self.counts
        self.weights = torch.ones(len(rows))  # of a document of each task

    def weigh(self, errors: list[float]) -> None:
        """By the share of held-out documents that are not wholly right yet."""
        self.weights = self.cfg.least_weight + torch.tensor(errors)

    def draw(self, progress: float) -> Batch:
        """Widths in proportion to the tokens they hold; the short ones alone in the first part of the training."""
        chances = self.weights[:, None] * self.counts
        widths = torch.tensor(self.cfg.widths)
        if progress < self.cfg.short.until:
            widths = torch.where(widths <= self.cfg.short.width, widths, 0)
        column = int(torch.multinomial(chances.sum(0) * widths, 1, generator=self.random))
        num_rows = max(1, self.cfg.tokens // self.cfg.widths[column])
        tasks = torch.multinomial(chances[:, column], num_rows, replacement=True, generator=self.random)
        places = (torch.rand(num_rows, generator=self.random) * self.counts[tasks, column]).long()
        return make_batch(self.pools[column], (self.offsets[tasks, column] + places).to(self.cfg.device))
