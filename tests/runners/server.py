"""Starts the command in processes of their own, without the imports' seconds for each.

A line on stdin is a JSON object: `argv`, `folder` to stand in, `output` for both streams, and `max_bytes` that a file
may have (or null) start a process, and its id is printed; `wait` for an id prints its exit status, minus the number of
the signal that ended it. With reference= or texts= it is kvarena-fidelity.
"""

import atexit
import gc
import json
import os
import resource
import sys

import composing
import pytest
import torch
from kvarena.runners import evaluate

composing.quicken(pytest.MonkeyPatch())
torch.set_num_threads(1)
gc.freeze()  # what is imported is not looked through again at the end of every run
atexit.register(gc.unfreeze)  # extensions look at their end for what was never collected


def start(argv: list[str], folder: str, output: str, max_bytes: int | None) -> None:
    os.chdir(folder)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdin.close()
    if max_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    sys.argv = ["kvarena", *argv]
    forced = any(word.startswith(("reference=", "texts=")) for word in argv)
    (evaluate.main_fidelity if forced else evaluate.main)()


for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
    elif pid := os.fork():
        print(pid, flush=True)
    else:
        start(**order)
        sys.exit(0)
