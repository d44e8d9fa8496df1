"""kvarena-benchmark: the time of a decode step of one method and model shape, beside the least that its bytes allow.

The least time is (weights + live KV bytes) over the copy bandwidth, measured in the same process; mbu is the share of
it that is reached, rounds included. Weights are random: speed does not depend on them. Rows are placed in the middle of
a long sequence with random keys and values instead of being decoded up to there. A sweep times all on one model, and
leaves out a position whose cache does not fit; `resume=true` leaves out what `output` already holds.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ..methods.policy import Policy
from .cache import memory
from .cache.cache import GROWTH
from .generate import Decoder
from .job import estimate, provenance
from .job.errors import one_line_errors, run_command
from .job.job import find_device
from .job.keys import Benchmark
from .job.schema import check_plain, checked
from .job.sweep import cost
from .model import DTYPES, Model, own_attention, random_model, shape_of
from .speed import Timing, Witness, compare_engines, copy_bandwidth, measure_steps, place_rows, weight_bytes
from .speed.timing import key, timed

ROOM = 128  # steps beside the timed ones and an interval that a row has room for: the gate, looks


def benchmark(config: DictConfig, names: Mapping[str, str]) -> list[Timing]:
    """Time every position and append the lines to `output`."""
    policy: Policy = instantiate(config.method)
    there, resume = timed(Path(config.output)), config.resume
    lines = {position: asked(config, policy, names, position) for position in config.positions}
    positions = [position for position, line in lines.items() if not (resume and key(line) in there)]
    if config.dry_run:
        print(timing_plan(config, policy, names, positions), flush=True)
    if config.dry_run or not positions:
        return []
    device = find_device(config.device)
    instantiate(config.engine).func.check(shape_of(instantiate(config.shape)), device)
    instantiate(config.attention).check(policy, DTYPES[config.dtype], device)
    torch.compiler.reset()  # what was compiled for another method of a sweep counts towards the limit of this one
    model = built(OmegaConf.to_yaml(config.shape, resolve=True), config.dtype, device, config.seed)
    rate, timings = copy_bandwidth(device), []
    for position in positions:
        try:
            options = rows(config, position, policy, model)
            timings.append(time_position(config, lines[position], options, rate))
            timings[-1].append(Path(config.output))
            print(timings[-1], flush=True)
        except RuntimeError as error:
            if (reason := memory.shortage(error)) is None:
                raise
            print(f"{names['model']} {names['method']} position {position} left out: {reason}", flush=True)
        memory.reclaim()
    return timings


def timing_plan(config: DictConfig, policy: Policy, names: Mapping[str, str], positions: Sequence[int]) -> str:
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
        "batch_size": config.batch_size or rows_that_fit(model, policy, config.longest, model.device),
        # memory of an eviction does not depend on the position
        "longest_prompt": 1 if policy.evicts else position + max(steps - GROWTH, 0),
        "max_tokens": position + steps if policy.evicts else steps,
    }


def rows_that_fit(model: Model, policy: Policy, longest: int, device: torch.device) -> int:
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


def asked(config: DictConfig, policy: Policy, names: Mapping[str, str], position: int) -> dict[str, Any]:
    """What tells a line from another, by the names of `timing.KEY`."""
    return {
        **names,
        "batch": config.batch_size,
        "tokens": policy.budget.tokens if policy.budget else None,
        "position": position,
        "steps": config.steps,
        "staggered": config.stagger,
    }


def time_position(config: DictConfig, line: Mapping[str, Any], options: Mapping[str, Any], rate: float) -> Timing:
    """Gate, set-up, and the timed steps of rows at the position of a line."""
    build: partial[Decoder] = instantiate(config.engine, seed=config.seed, attention=config.attention)
    model, policy, batch = options["model"], options["policy"], options["batch_size"]
    position, device = line["position"], model.device
    gate, regret = pass_gate(config, build, options, position) if config.gate else (None, None)
    started = time.perf_counter()
    decoder = build(**options)
    with own_attention(model), torch.inference_mode():
        decoder.prepare()
        if policy.evicts:  # compiled and captured on idle rows, since the first round may be thousands of steps away
            decoder.round(range(1 if config.stagger else batch))
        place_rows(decoder, position, config.stagger)
        warm_up = 2 * decoder.look + (policy.budget.interval if policy.evicts else 0)
        measure_steps(decoder, warm_up)
        setup = time.perf_counter() - started
        memory.reset_peak(device)
        measured = measure_steps(decoder, config.steps)
    return Timing(
        **{**line, "batch": batch},
        **measured.columns(batch, weight_bytes(model), rate),
        middle=position + warm_up + config.steps / 2,
        evicts=policy.evicts,
        peak_bytes=memory.peak_bytes(device),
        setup_s=round(setup, 1),
        gate=gate,
        gate_regret=regret,
        device=provenance.device_name(device),
        versions=" ".join(f"{name} {version}" for name, version in provenance.versions().items()),
        commit=provenance.commit()[0] or "",
    )


def pass_gate(
    config: DictConfig, build: Callable[..., Decoder], options: Mapping[str, Any], position: int
) -> tuple[float, float]:
    """As `gate.compare` says it; a regret above the one allowed ends the benchmark."""
    witness = Witness(**options, seed=config.seed)
    share, regret = compare_engines(build(**options), witness, position, steps=config.gate, stagger=config.stagger)
    if regret > config.regret:
        raise ValueError(f"gate: a token lies {regret:.2f} deviations below the eager engine's best; see regret")
    return share, regret


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="benchmark")
def application(config: DictConfig) -> None:
    choices: Mapping[str, str] = HydraConfig.get().runtime.choices
    with one_line_errors():
        groups = {"model": "shape", "method": "method", "engine": "engine", "attention": "attention"}
        check_plain(Benchmark, config)
        config = DictConfig(checked(Benchmark, config))
        benchmark(config, {name: choices[group] for name, group in groups.items()})


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
