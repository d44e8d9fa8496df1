# pyright: reportPrivateImportUsage=false
"""Rank 0 of a model that is split, and the processes that follow it: those that torchrun has started, or its own.

A process has one team, for all runs of a sweep. A rank that dies, or cannot set up what rank 0 can, ends the process
with one line; the records are on the disk.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from threading import Lock

import torch
from torch.distributed import Store, TCPStore, rendezvous

from ..interrupt import end_deaf
from ..parallel import TOGETHER, Ranks, meet
from .orders import Orders
from .watch import watch

ANSWER = timedelta(seconds=60)  # its store is there before a rank is
GRACE = 3  # s that rank 0 has to end by an error of its own
# the kernel ends it with rank 0, however that ends, and though it be stopped or stuck; Linux
FOLLOWER = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    from kvarena.runners.workers.follower import follow
    sys.exit(follow())
"""


@dataclass(kw_only=True)
class Team:
    size: int
    store: Store
    orders: Orders
    ranks: Ranks | None = None  # None: they have not met
    broken: bool = False  # a run has ended in an error, so nobody knows what the others wait for
    asking: Lock = field(default_factory=Lock)  # of a thread that asks the store

    def meet(self, device: torch.device) -> Ranks:
        if self.ranks is None:
            self.ranks = meet(0, self.size, self.store, device)
        return self.ranks

    @contextmanager
    def together(self) -> Iterator[None]:
        """A run of all ranks."""
        if self.broken:
            raise ValueError(f"tensor_parallel={self.size}: an earlier run has failed, and its ranks with it")
        self.broken = True
        yield
        self.broken = False

    def why(self) -> str | None:
        """As far as a rank has said it."""
        with self.asking:
            said = [key for rank in range(1, self.size) if self.store.check([key := f"why/{rank}"])]
            return self.store.get(said[0]).decode() if said else None

    def gone(self) -> None:
        """In a thread: rank 0 may wait for the others on a device, where no signal reaches it."""
        time.sleep(GRACE)
        os.write(2, f"kvarena: tensor_parallel={self.size}: {self.why() or 'a rank is gone'}; {TOGETHER}\n".encode())
        os._exit(2)


def by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def number_of_processes() -> int:
    """That torchrun has started; 1: it has not started this one."""
    return int(os.environ["WORLD_SIZE"]) if by_torchrun() else 1


def follows() -> bool:
    """Whether this process is one of torchrun's that do as rank 0 says."""
    return by_torchrun() and os.environ.get("RANK", "0") != "0"


@lru_cache(maxsize=1)
def leading() -> Store:
    """torchrun's store, in which rank 0 says who it is."""
    store, _, _ = joined()
    store.set("pid/0", str(os.getpid()))
    return store


def joined() -> tuple[Store, int, int]:
    """The store that the environment names, rank and size; ValueError where nobody answers."""
    try:
        return next(rendezvous("env://", timeout=ANSWER))
    except RuntimeError as error:
        raise ValueError(f"the store of the ranks does not answer: {error}") from error


@lru_cache(maxsize=1)
def team_of(size: int) -> Team:
    """The followers are there when it returns, and end when this process does; ValueError where one ends before."""
    hired: list[subprocess.Popen[bytes]] = []
    if by_torchrun():
        store = leading()
    else:
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        store.set("pid/0", str(os.getpid()))
        hired = [hire(rank, size, store.port) for rank in range(1, size)]
    keys = [f"pid/{rank}" for rank in range(1, size)]
    await_all(store, keys, hired)
    team = Team(size=size, store=store, orders=Orders(store=store))
    watch([int(store.get(key)) for key in keys], team.gone, lambda: team.why() is not None)
    atexit.register(team.asking.acquire)  # Python aborts where it ends while a thread is in the store
    end_deaf()
    return team


def await_all(store: Store, keys: list[str], hired: list[subprocess.Popen[bytes]]) -> None:
    """Of those that torchrun has started it watches over the lives itself; a wait in the store would hear no signal."""
    while not store.check(keys):
        if any(process.poll() is not None for process in hired):
            for process in hired:
                process.terminate()
            raise ValueError(f"tensor_parallel={len(keys) + 1}: a rank ended before it had begun; {TOGETHER}")
        time.sleep(0.05)


def hire(rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    own = dict(RANK=rank, WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, TORCHELASTIC_USE_AGENT_STORE=True)
    return subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, str(os.getpid())],
        env=os.environ | {name: str(value) for name, value in own.items()},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # a terminal's Ctrl-C is for rank 0, before the follower can say so too
    )
