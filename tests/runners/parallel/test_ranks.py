"""Two ranks on CPUs against one, all methods; and what a run of two processes leaves, also when one of them dies."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.snapkv import SnapKV
from kvarena.runners.cache import Shape
from kvarena.runners.parallel import Ranks, RowLinear, check_split, split
from transformers import GPT2Config, LlamaConfig, Phi3Config, Qwen3Config

SMALL = ["difficulty=easy", "compression.tokens=40", "compression.interval=4", "device=cpu", "max_tokens=32"]
SMALL += ["engine.batch_size=2", "num_samples=6"]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def pair(folder: Path, *names: str) -> list[dict[str, str]]:
    """The lines of two processes."""
    script, port = Path(__file__).with_name("ranks_and_one.py"), str(free_port())
    meeting = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")
    command = [sys.executable, str(script), str(folder), *names]
    both = [subprocess.Popen(command, env=os.environ | meeting | {"RANK": str(rank)}) for rank in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    with (folder / "equal.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def hold(lines: list[dict[str, str]]) -> None:
    for line in lines:
        assert (line["positions"], line["tokens"], line["usage"], line["bytes"]) == ("True", "True", "True", "0.5"), line


def test_two_ranks_keep_and_say_what_one_does(tmp_path):
    """A method of every kind: those that reduce over heads, let them compete, draw noise, and read."""
    names = ["full", "adakv", "reasonalloc", "longflow", "vase_dkv", "evict_random", "quest", "h2o", "snapkv"]
    lines = pair(tmp_path, *names)
    hold(lines)
    assert len(lines) > 18
