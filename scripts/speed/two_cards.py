"""A step of a model on one card and split over two: milliseconds, and the share of what the bytes of both allow.

    torchrun --nproc-per-node=2 scripts/speed/two_cards.py FOLDER [--shapes qwen3_14b qwen3_32b] [--ranks 1 2]

An all-reduce of 164 kB comes first (16 rows of 5,120 in bfloat16): alone, and in a CUDA graph of 100 of them. Then 16
rows at 4,096 tokens of random weights, by `engine=graphs`; least time of a split step: what a rank reads at its card's
copy bandwidth. `--largest` asks for as many rows as fit, too. Lines are written as they come, to all_reduce.csv and
steps.csv. Where weights or cache do not fit on a card, the line is left out, by all ranks, and the next one follows.
"""

import argparse
import csv
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from kvarena.methods.policy import Policy
from kvarena.runners.cache import PLAIN, Shape, memory
from kvarena.runners.generate import Decoder
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.model import Model, own_attention, random_model, shape_of
from kvarena.runners.parallel import ALONE, Ranks, meet, split_over
from kvarena.runners.record import LineParser, make_folder, positive
from kvarena.runners.sampler import Greedy
from kvarena.runners.speed import copy_bandwidth, measure_steps, place_rows, seconds, weight_bytes
from omegaconf import OmegaConf

IN_GRAPH = 100  # all-reduces
SPARE = 4 * 2**30  # bytes left beside weights and cache, where as many rows as fit are asked for


class Asked(NamedTuple):
    shape: str
    method: str
    rows: int | None  # None: as many as fit
    tokens: int
    position: int
    steps: int


def write_line(path: Path, line: dict[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        table = csv.DictWriter(file, line)
        if new:
            table.writeheader()
        table.writerow(line)
    print(line, flush=True)


def all_reduces(ranks: Ranks, device: torch.device, size: int) -> dict[str, Any]:
    """Microseconds of one of `size` numbers of bfloat16."""
    part = torch.zeros(size, dtype=torch.bfloat16, device=device)
    for _ in range(20):
        ranks.sum(part)
    alone = statistics.median(seconds(partial(ranks.sum, part), device) for _ in range(200))
    line = dict(kb=round(part.nbytes / 1e3, 1), us=round(1e6 * alone, 2), us_in_graph=None)
    if device.type == "cuda":
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="relaxed"):
            for _ in range(IN_GRAPH):
                ranks.sum(part)
        graph.replay()
        each = [seconds(graph.replay, device) / IN_GRAPH for _ in range(20)]
        line["us_in_graph"] = round(1e6 * statistics.median(each), 2)
    return line


def method_asked(asked: Asked) -> Policy:
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        words = [f"shape={asked.shape}", f"method={asked.method}", f"compression.tokens={asked.tokens}"]
        return instantiate(compose("benchmark", words).method)


def split_model(shape: str, dtype: torch.dtype, device: torch.device, ranks: Ranks) -> Model:
    with initialize_config_module("kvarena.conf", version_base="1.3"):
        config = compose("benchmark", [f"shape={shape}"]).shape
    model = random_model(instantiate(OmegaConf.create(config)), dtype, device, seed=0)
    split_over(model, ranks)
    memory.reclaim()
    return model


def most_rows(model: Model, asked: Asked, policy: Policy, ranks: Ranks, longest: int) -> int:
    """The fewest of any rank."""
    shape: Shape = ranks.shape(shape_of(model.config))
    sizes = dict(longest_prompt=1 if policy.evicts else longest, longest=longest)
    row = memory.row_bytes(policy, shape, model.dtype, storage=PLAIN, **sizes)
    own = (memory.free_bytes(model.device) - SPARE) // row
    return min(ranks.each(own) or [own])


def set_up(asked: Asked, model: Model, ranks: Ranks, engine: Callable[..., Decoder]) -> Decoder:
    policy = method_asked(asked)
    room = asked.steps + 128 + (policy.budget.interval if policy.evicts else 0)
    longest = asked.position + room
    return engine(
        model=model,
        policy=policy,
        sampler=Greedy(),
        batch_size=asked.rows or most_rows(model, asked, policy, ranks, longest),
        longest_prompt=1 if policy.evicts else asked.position + room,
        max_tokens=longest if policy.evicts else room,
        ranks=ranks,
    )


def timed_steps(asked: Asked, decoder: Decoder) -> dict[str, Any]:
    policy, rows, device = decoder.policy, decoder.batch_size, decoder.device
    rate = copy_bandwidth(device)
    with own_attention(decoder.model), torch.inference_mode():
        decoder.prepare()
        if policy.evicts:
            decoder.round(range(rows))
        place_rows(decoder, asked.position, stagger=False)
        measure_steps(decoder, 2 * decoder.look + (policy.budget.interval if policy.evicts else 0))
        memory.reset_peak(device)
        step = measure_steps(decoder, asked.steps).step_time(rows, weight_bytes(decoder.model), rate)
    known = dict(peak_bytes=memory.peak_bytes(device), cache_bytes=decoder.cache.nbytes)
    return asked._replace(rows=rows)._asdict() | dict(ranks=decoder.ranks.size) | asdict(step) | known


class TooLarge(Exception):
    """On one of the ranks."""


def agreed(ranks: Ranks, make: Callable[[], Any]) -> Any:
    """What every rank could make; where memory may run short in it, it waits for no other rank."""
    made, reason = None, None
    try:
        made = make()
    except RuntimeError as error:
        if (reason := memory.shortage(error)) is None:
            raise
    if said := [each for each in ranks.each(reason) or [reason] if each]:
        raise TooLarge(said[0])
    return made


def lines_of(asked: Asked, largest: bool, ranks: Ranks, dtype: torch.dtype, device: torch.device) -> Iterator[dict]:
    engine = partial(GraphDecoder, look=8) if device.type == "cuda" else Decoder
    model = agreed(ranks, partial(split_model, asked.shape, dtype, device, ranks))
    for rows in [asked.rows, None] if largest else [asked.rows]:
        each = asked._replace(rows=rows)
        yield timed_steps(each, agreed(ranks, partial(set_up, each, model, ranks, engine)))
        memory.reclaim()


def main(words: list[str]) -> None:
    parser = LineParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["qwen3_14b", "qwen3_32b"])
    parser.add_argument("--ranks", nargs="+", type=positive, default=[1, 2])
    parser.add_argument("--method", default="vase_attnv")
    parser.add_argument("--rows", type=positive, default=16)
    parser.add_argument("--tokens", type=positive, default=4096)
    parser.add_argument("--position", type=positive, default=8192)
    parser.add_argument("--steps", type=positive, default=128)
    parser.add_argument("--largest", action="store_true")
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args(words)
    device = able(given)
    store, rank, size = next(dist.rendezvous("env://"))
    if strange := {*given.ranks} - {1, size}:
        raise ValueError(f"--ranks {min(strange)}: use 1, or the {size} that were started")
    every = meet(rank, size, store, device)
    cuda = device.type == "cuda"
    device, dtype = (torch.device("cuda", rank), torch.bfloat16) if cuda else (device, torch.float32)
    make_folder(given.folder, "FOLDER")
    write = write_line if every.first else lambda path, line: None
    write(given.folder / "all_reduce.csv", all_reduces(every, device, given.rows * 5120) | where_it_ran(device, size))
    for shape, number in product(given.shapes, given.ranks):
        asked = Asked(shape, given.method, given.rows, given.tokens, given.position, given.steps)
        ranks = every if number == size else ALONE
        try:
            if ranks is every or every.first:  # who has no part in it waits at the barrier
                for line in lines_of(asked, given.largest, ranks, dtype, device):
                    write(given.folder / "steps.csv", line | where_it_ran(device, number))
        except TooLarge as reason:
            if every.first:
                print(f"{shape} of {number} ranks left out: {reason}", flush=True)
        memory.reclaim()
        dist.barrier()
    dist.destroy_process_group()


def able(given: argparse.Namespace) -> torch.device:
    """Before anything is measured: what was asked for can be built, and others were started beside this process."""
    if "RANK" not in os.environ:
        raise ValueError("this process has no rank: start it by torchrun --nproc-per-node=2")
    for shape in given.shapes:
        method_asked(Asked(shape, given.method, given.rows, given.tokens, given.position, given.steps))
    return find_device(given.device)


def where_it_ran(device: torch.device, size: int) -> dict[str, Any]:
    versions = " ".join(f"{name} {version}" for name, version in provenance.versions().items())
    return dict(device=f"{size} x {provenance.device_name(device)}", versions=versions, commit=provenance.commit()[0])


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
