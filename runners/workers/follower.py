# pyright: reportPrivateImportUsage=false
"""A rank beside rank 0: it builds what that builds, runs the same loop on the same requests, and writes nothing."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from torch.distributed import DistError, Store

from ..job import build
from ..job.errors import one_line
from ..parallel import PATIENCE, Ranks, meet
from .local import HERE
from .orders import SERVE, Load, Orders
from .team import joined
from .watch import watch
from .worker import Worker


def follow() -> int:
    """Until rank 0 ends, and this process with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for rank 0
    store, rank, size = joined()
    store.wait(["pid/0"], PATIENCE)
    watch([int(store.get("pid/0"))], lambda: os._exit(0))
    store.set(f"pid/{rank}", str(os.getpid()))
    try:
        Follower(store=store, rank=rank, size=size).work()
    except Exception as error:  # rank 0 says it, for it has the terminal and the records
        with suppress(DistError):  # torchrun may be gone, and the store with it
            store.set(f"why/{rank}", f"rank {rank}: {one_line(error) or type(error).__name__}")
            store.wait(["the end of the store"], PATIENCE)
    return 0


@dataclass(kw_only=True)
class Follower:
    store: Store
    rank: int
    size: int
    ranks: Ranks | None = None  # None: they have not met

    def work(self) -> None:
        orders = Orders(store=self.store)
        order = orders.take()
        while isinstance(order, Load):
            worker = self.load(order)
            assert worker.decoder
            while (order := orders.take()) == SERVE:
                for _ in worker.decoder.run(orders.requests()):
                    pass
            worker.drop()

    def load(self, order: Load) -> Worker:
        os.chdir(order.folder)
        job = build(DictConfig(order.config | HERE), order.method)
        assert job.device
        self.ranks = self.ranks or meet(self.rank, self.size, self.store, job.device)
        return Worker(job=job, longest_prompt=order.longest_prompt, output_dir=Path(), ranks=self.ranks)
