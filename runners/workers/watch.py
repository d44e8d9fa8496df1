"""Whether the processes of the other ranks are there still: where one is gone, nobody waits for it. Linux."""

import os
import select
import threading
from collections.abc import Callable, Sequence

PERIOD = 0.5  # s


def watch(pids: Sequence[int], gone: Callable[[], None], also: Callable[[], bool] = lambda: False) -> None:
    """Call `gone`, in a thread, when one of the processes ends, or when `also` says so."""
    ends = []
    for pid in pids:
        try:
            ends.append(os.pidfd_open(pid))
        except ProcessLookupError:
            gone()
            return

    def wait() -> None:
        while not (select.select(ends, [], [], PERIOD)[0] or also()):
            pass
        gone()

    threading.Thread(target=wait, daemon=True).start()
