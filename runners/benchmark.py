"""kvarena-benchmark: the time of a decode step of one method and model shape, beside the least that its bytes allow.

The least time is (weights + live KV bytes) over the copy bandwidth, measured in the same process; mbu is the share of
it that is reached, rounds included. Weights are random: speed does not depend on them. Rows are placed in the middle of
a long sequence with random keys and values instead of being decoded up to there. A sweep times all on one model, and
leaves out a position whose cache does not fit; `resume=true` leaves out what `output` already holds.

B rows, L layers, H KV heads, N slots, D head dim.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..methods.policy import Policy
from . import estimate, memory, provenance
from .cache import GROWTH
from .clock import Clock
from .errors import one_line_errors
from .gate import Witness, compare
from .generate import Decoder
from .model import DTYPES, Model, own_attention, random_model, shape_of
from .placement import place
from .sweep import cost
from .timing import Timing, timed

ROOM = 128  # steps beside the timed ones and an interval that a row has room for: the gate, looks


def benchmark(config: DictConfig, names: Mapping[str, str]) -> list[Timing]:
    """Time every position and append the lines to `output`."""
    if config.dtype not in DTYPES:
        raise ValueError(f"dtype={config.dtype}: use one of {', '.join(DTYPES)}")
    if config.steps < 1:
        raise ValueError(f"steps={config.steps}: use 1 or more")
    policy: Policy = instantiate(config.method)
    there, resume = timed(Path(config.output)), config.resume
    wanted = {position: key(config, policy, names, position) for position in config.positions}
    positions = [position for position, line in wanted.items() if not (resume and line in there)]
    if config.dry_run:
        print(plan(config, policy, names, positions), flush=True)
    if config.dry_run or not positions:
        return []
    device = torch.device(config.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: torch sees no CUDA device; use device=cpu engine=eager")
    instantiate(config.engine).func.check(shape_of(instantiate(config.shape)), device)
    instantiate(config.attention).check(policy, DTYPES[config.dtype], device)
    torch.compiler.reset()  # what was compiled for another method of a sweep counts towards the limit of this one
    model = built(OmegaConf.to_yaml(config.shape, resolve=True), config.dtype, device, config.seed)
    rate, lines = copy_bandwidth(device), []
    for position in positions:
        try:
            lines.append(time_position(config, position, rows(config, position, policy, model), rate, names))
            lines[-1].append(Path(config.output))
            print(lines[-1], flush=True)
        except RuntimeError as error:
            if (reason := memory.shortage(error)) is None:
                raise
            print(f"{names['model']} {names['method']} position {position} left out: {reason}", flush=True)
        memory.reclaim()
    return lines


def plan(config: DictConfig, policy: Policy, names: Mapping[str, str], positions: Sequence[int]) -> str:
    """What is to be timed, and what it takes; loading and compilation come on top."""
    budget = policy.budget.tokens if policy.budget else None
    speeds = [estimate.benchmarked(names["model"], names["method"], budget, 2 * position) for position in positions]
    tokens = (config.batch_size or 1) * config.steps
    hours = [tokens / speed.tokens_per_s / 3600 if speed else None for speed in speeds]
    title = f"{names['method']}, {budget} tokens" if budget else names["method"]
    there = len(config.positions) - len(positions)
    sources = "; ".join(sorted({f"{speed.tokens_per_s:.0f} tokens/s: {speed.source}" for speed in speeds if speed}))
    return f"{title}: {there} of {len(config.positions)} timed, {cost(tokens * len(positions), hours, 0)} ({sources})"


@lru_cache(maxsize=1)
def built(shape: str, dtype: str, device: torch.device, seed: int) -> Model:
    """The model of a yaml, kept for the rest of a sweep."""
    return random_model(instantiate(OmegaConf.create(shape)), DTYPES[dtype], device, seed)


def rows(config: DictConfig, position: int, policy: Policy, model: Model) -> dict[str, Any]:
    """What a decoder is built with: rows that have room for their steps from the start, so that nothing moves."""
    steps = config.steps + ROOM + (policy.budget.interval if policy.evicts else 0)
    return {
        "model": model,
        "policy": policy,
        "sampler": instantiate(config.sampler),
        "batch_size": config.batch_size or largest_batch(model, policy, config.longest, model.device),
        # memory of an eviction does not depend on the position
        "longest_prompt": 1 if policy.evicts else position + max(steps - GROWTH, 0),
        "max_tokens": position + steps if policy.evicts else steps,
    }


def key(config: DictConfig, policy: Policy, names: Mapping[str, str], position: int) -> tuple[str, ...]:
    """As `timed` would read it of a line."""
    tokens = policy.budget.tokens if policy.budget else None
    asked = *names.values(), config.batch_size, tokens, position, config.steps, config.stagger
    return tuple("" if value is None else str(value) for value in asked)


def time_position(
    config: DictConfig, position: int, options: Mapping[str, Any], rate: float, names: Mapping[str, str]
) -> Timing:
    """Gate, set-up, and the timed steps of rows at one position."""
    build: partial[Decoder] = instantiate(config.engine, seed=config.seed, attention=config.attention)
    model, policy, batch = options["model"], options["policy"], options["batch_size"]
    device, gate, regret = model.device, None, None
    if config.gate:
        witness = Witness(**options, seed=config.seed)
        gate, regret = compare(build(**options), witness, position, steps=config.gate, stagger=config.stagger)
        del witness
        if regret > config.regret:
            raise ValueError(f"gate: a token lies {regret:.2f} deviations below the eager engine's best; see regret")
    started = time.perf_counter()
    decoder = build(**options)
    with own_attention(model), torch.inference_mode():
        decoder.prepare()
        place(decoder, position, config.stagger)
        interval = policy.budget.interval if policy.evicts else 0
        warm_up = interval + 2 * decoder.look  # a round among them: all is compiled and captured
        measure(decoder, warm_up)
        setup = time.perf_counter() - started
        reset_peak(device)
        steps, rounds, kv = measure(decoder, config.steps)
    total, weights = sum(taken for _, taken in steps) + sum(rounds), weight_bytes(model)
    ms, limit = 1e3 * total / sum(count for count, _ in steps), 1e3 * (weights + kv) / rate
    each = sorted(1e3 * taken / count for count, taken in steps)
    return Timing(
        **names,
        batch=batch,
        tokens=policy.budget.tokens if policy.budget else None,
        position=position,
        steps=config.steps,
        middle=position + warm_up + config.steps / 2,
        staggered=config.stagger,
        evicts=policy.evicts,
        ms_p50=round(statistics.median(each), 4),
        ms_p95=round(each[int(0.95 * (len(each) - 1))], 4),
        ms=round(ms, 4),
        tokens_per_s=round(batch / ms * 1e3, 1),
        limit_ms=round(limit, 4),
        mbu=round(limit / ms, 4),
        evict_share=round(sum(rounds) / total, 4),
        weight_bytes=weights,
        kv_bytes=round(kv),
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
        setup_s=round(setup, 1),
        copy_gb_per_s=round(rate / 1e9, 1),
        gate=gate,
        gate_regret=regret,
        device=provenance.device_name(device),
        versions=" ".join(f"{name} {version}" for name, version in provenance.versions().items()),
        commit=provenance.commit()[0] or "",
    )


def weight_bytes(model: Model) -> int:
    """Bytes of the parameters that a step reads: all but an embedding of its own, of which it takes a row a token."""
    total = sum(p.numel() * p.element_size() for p in model.parameters())
    table = cast(nn.Embedding, cast(Any, model).get_input_embeddings()).weight
    tied = cast(nn.Linear, cast(Any, model).get_output_embeddings()).weight is table
    return total if tied else total - table.numel() * table.element_size()


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / statistics.median(seconds(lambda: target.copy_(source), device) for _ in range(20))


def seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def largest_batch(model: Model, policy: Policy, longest: int, device: torch.device) -> int:
    """Rows of `longest` tokens that fit beside the weights."""
    if device.type != "cuda":
        raise ValueError("batch_size=null needs device=cuda: give a number of rows")
    # all of it at once, where layers would grow
    prompt = 1 if policy.evicts else longest
    row = memory.row_bytes(policy, shape_of(model.config), model.dtype, longest_prompt=prompt, longest=longest)
    batch, free = memory.largest_batch(row, device), memory.free_bytes(device)
    if batch < 1:
        raise ValueError(f"longest={longest}: one row takes {row / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free")
    return batch


def measure(decoder: Decoder, steps: int) -> tuple[list[tuple[int, float]], list[float], float]:
    """(steps, seconds) of each burst, seconds of each round, and the mean live KV bytes of a step."""
    cache = decoder.cache
    bursts, rounds, kv = [], [], 0.0
    pair = 2 * cache.shape.heads * cache.shape.dim * cache.layers[0].keys.element_size()
    while (done := sum(count for count, _ in bursts)) < steps:
        count = min(decoder.burst(), steps - done)
        kv += pair * count * sum(slots_read(clock, decoder.policy, count) for clock in cache.clocks if clock)
        bursts.append((count, seconds(partial(decoder.advance, count), decoder.device)))
        if due := cache.due():
            rounds.append(seconds(partial(decoder.round, due), decoder.device))
            cache.evicted(due)
    return bursts, rounds, kv / steps


def slots_read(clock: Clock, policy: Policy, count: int) -> float:
    """Slots per KV head that a step reads in all layers, mean over the next `count` steps."""
    total = 0.0
    for layer, slots in enumerate(clock.resident):
        most = policy.tokens(layer, clock.num_layers) if policy.selects else None
        total += min(slots + (count + 1) / 2, most or torch.inf)
    return total


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="benchmark")
def application(config: DictConfig) -> None:
    choices: Mapping[str, str] = HydraConfig.get().runtime.choices
    with one_line_errors():
        groups = {"model": "shape", "method": "method", "engine": "engine", "attention": "attention"}
        benchmark(config, {name: choices[group] for name, group in groups.items()})


def main() -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra would print lines of its own and exit with 1
    with one_line_errors():
        application()  # type: ignore[call-arg]


if __name__ == "__main__":
    main()
