# pyright: reportPrivateImportUsage=false
"""The processes that hold a model together, each on a device of its own, and what they tell one another.

All run the same loop on the same requests. What they decide by is the same in all of them: the host's clocks follow the
tokens, and the token that rank 0 has chosen is everybody's, whatever the last bits of their logits are. Kept positions
of a head are decided where the head is; rules over heads gather what they compare, and decide the same everywhere.

B rows, H KV heads of a rank, A KV heads of a layer.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...methods.heads import Heads
from ..cache import Shape

TOGETHER = "the records are kept, and the same command goes on"
PATIENCE = timedelta(days=7)  # a rank that is gone is noticed otherwise, and one may wait for a verdict


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among the others of torch's default group, where there are others."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, part: Tensor) -> Tensor:
        """Of all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(part)
        return part

    def agreed(self, chosen: Tensor) -> Tensor:
        """Rank 0's, in place."""
        if self.size > 1:
            dist.broadcast(chosen, 0)
        return chosen

    def each(self, own: Any) -> list[Any]:
        """What every rank says, in their order; none where there is one."""
        said: list[Any] = [None] * self.size
        if self.size == 1:
            return []
        dist.all_gather_object(said, own)
        return said

    def shape(self, whole: Shape) -> Shape:
        """Of this rank's part of a cache; ValueError where KV heads cannot be shared out evenly."""
        if whole.heads % self.size:
            raise ValueError(f"tensor_parallel={self.size}: {whole.heads} KV heads cannot be shared out evenly")
        return whole._replace(heads=whole.heads // self.size)

    def heads(self, whole: Shape) -> Heads:
        if self.size == 1:
            return Heads()
        return OwnHeads(first=self.rank * self.shape(whole).heads, ranks=self.size)


@dataclass(frozen=True, kw_only=True)
class OwnHeads(Heads):
    """Those of a rank."""

    def of_all(self, part: Tensor) -> Tensor:
        own = part.contiguous()
        if own.dtype == torch.bool:
            return self.of_all(own.view(torch.uint8)).view(torch.bool)
        parts = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(parts, own)
        return torch.cat(parts, 1)

    def own(self, whole: Tensor) -> Tensor:
        return whole[:, self.first : self.first + whole.shape[1] // self.ranks]

    def total(self, part: Tensor) -> Tensor:
        summed = part.clone()
        dist.all_reduce(summed)
        return summed


ALONE = Ranks()


def meet(rank: int, size: int, store: dist.Store, device: torch.device) -> Ranks:
    """Meet the others: NCCL between GPUs, gloo between CPUs. What a first call sets up is set up before any capture."""
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")  # no NVLink multicast
    backend, own_device = "gloo", None
    if device.type == "cuda":
        torch.cuda.set_device(rank)
        backend, own_device = "nccl", torch.device("cuda", rank)
    meeting: dict[str, Any] = dict(store=store, rank=rank, world_size=size, timeout=PATIENCE)
    ranks = Ranks(rank=rank, size=size)
    try:
        dist.init_process_group(backend, device_id=own_device, **meeting)
        own = torch.zeros(size, device=own_device)
        ranks.agreed(ranks.sum(own))
        dist.all_gather([torch.empty_like(own) for _ in range(size)], own)
    except RuntimeError as error:
        raise ValueError(f"tensor_parallel={size}: the ranks do not meet: {error}") from error
    return ranks


@contextmanager
def refusing_loss(size: int) -> Iterator[None]:
    """What torch says where another rank is gone becomes one line."""
    try:
        yield
    except RuntimeError as error:
        if size == 1 or not is_loss(error):
            raise
        raise ValueError(f"tensor_parallel={size}: a rank is gone; {TOGETHER}") from error


def is_loss(error: BaseException) -> bool:
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
