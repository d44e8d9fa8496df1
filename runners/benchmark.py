"""kvarena-benchmark: the time of a decode step of one method and model shape, beside the least that its bytes allow.

The least time is (weights + live KV bytes) over the copy bandwidth, measured in the same process; mbu is the share of
it that is reached, rounds included. Weights are random: speed does not depend on them. Rows are placed in the middle of
a long sequence with random keys and values instead of being decoded up to there. A sweep times all on one model, and
leaves out a position whose cache does not fit; `resume=true` leaves out what `output` already holds.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ..methods.policy import Policy
from .cache import memory
from .generate import Decoder
from .interrupt import shield
from .job import estimate, provenance
from .job.budget import storage_of
from .job.errors import one_line_errors, run_command
from .job.given import refuse_given
from .job.job import find_device
from .job.keys import Benchmark
from .job.schema import check_plain, checked
from .job.sweep import cost
from .job.typed import refuse_idle, refuse_rows
from .model import DTYPES, Model, own_attention, random_model, shape_of
from .record import check_appends
from .speed import Timing, TimingKey, Witness, compare_engines, copy_bandwidth, measure_steps, place_rows, weight_bytes
from .speed.options import DecoderOptions, decoder_options
from .speed.timing import keys_in_file

WRITTEN = 0.5  # of their norm that vectors may differ by before the timing: codes of few bits hang on roundings


class Choices(NamedTuple):
    """The names of what is timed."""

    model: str
    method: str
    engine: str
    attention: str


def benchmark(config: DictConfig, choices: Choices) -> list[Timing]:
    """Time every position and append the lines to `output`."""
    policy: Policy = instantiate(config.method)
    there, resume = keys_in_file(Path(config.output)), config.resume
    keys = {position: timing_key(config, policy, choices, position) for position in config.positions}
    positions = [position for position, key in keys.items() if not (resume and key.in_file() in there)]
    build = instantiate(config.engine)
    engine = build.func
    engine.agree(build.keywords)
    if config.dry_run:
        print(timing_plan(config, policy, choices, positions), flush=True)
    if config.dry_run or not positions:
        return []
    check_appends(Path(config.output))
    device = find_device(config.device)
    storage, shape = storage_of(config), shape_of(instantiate(config.shape))
    engine.serves(policy)
    engine.check(shape, device)
    storage.check(shape, policy)
    instantiate(config.attention).check(policy, DTYPES[config.dtype], device, storage.packs)
    torch.compiler.reset()  # what was compiled for another method of a sweep counts towards the limit of this one
    model = kept_model(OmegaConf.to_yaml(config.shape, resolve=True), config.dtype, device, config.seed)
    rate, timings = copy_bandwidth(device), []
    for position in positions:
        try:
            options = decoder_options(config, position, policy, model, storage)
            timings.append(time_position(config, keys[position], options, rate))
            with shield():
                timings[-1].append(Path(config.output))
            print(timings[-1], flush=True)
        except RuntimeError as error:
            if (reason := memory.shortage(error)) is None:
                raise
            print(f"{choices.model} {choices.method} position {position} left out: {reason}", flush=True)
        memory.reclaim()
    return timings


def timing_plan(config: DictConfig, policy: Policy, choices: Choices, positions: Sequence[int]) -> str:
    """What is to be timed, and what it takes; loading and compilation come on top."""
    budget = policy.budget.tokens if policy.budget else None
    speeds = [estimate.benchmarked(choices.model, choices.method, budget, 2 * position) for position in positions]
    tokens = (config.batch_size or 1) * config.steps
    hours = [tokens / speed.tokens_per_s / 3600 if speed else None for speed in speeds]
    title = f"{choices.method}, {budget} tokens" if budget else choices.method
    there = len(config.positions) - len(positions)
    sources = "; ".join(sorted({f"{speed.tokens_per_s:.0f} tokens/s: {speed.source}" for speed in speeds if speed}))
    return f"{title}: {there} of {len(config.positions)} timed, {cost(tokens * len(positions), hours, 0)} ({sources})"


@lru_cache(maxsize=1)
def kept_model(shape: str, dtype: str, device: torch.device, seed: int) -> Model:
    """The model of a yaml, kept for the rest of a sweep."""
    return random_model(instantiate(OmegaConf.create(shape)), DTYPES[dtype], device, seed)


def timing_key(config: DictConfig, policy: Policy, choices: Choices, position: int) -> TimingKey:
    return TimingKey(
        model=choices.model,
        method=choices.method,
        engine=choices.engine,
        attention=choices.attention,
        batch=config.batch_size,
        tokens=policy.budget.tokens if policy.budget else None,
        position=position,
        steps=config.steps,
        staggered=config.stagger,
        cache=storage_of(config).name,
    )


def time_position(config: DictConfig, key: TimingKey, options: DecoderOptions, rate: float) -> Timing:
    """Gate, set-up, and the timed steps of rows at the position of a line."""
    build: partial[Decoder] = instantiate(config.engine, seed=config.seed, attention=config.attention)
    model, policy, batch, device = options.model, options.policy, options.batch_size, options.model.device
    gate, regret = pass_gate(config, build, options, key.position) if config.gate else (None, None)
    started = time.perf_counter()
    decoder = build(**vars(options))
    with own_attention(model), torch.inference_mode():
        decoder.prepare()
        if policy.evicts:  # compiled and captured on idle rows, since the first round may be thousands of steps away
            decoder.round(range(1 if config.stagger else batch))
        place_rows(decoder, key.position, config.stagger)
        warm_up = 2 * decoder.look + (policy.budget.interval if policy.evicts else 0)
        measure_steps(decoder, warm_up)
        setup = time.perf_counter() - started
        memory.reset_peak(device)
        measured = measure_steps(decoder, config.steps)
    return Timing(
        key=replace(key, batch=batch),
        step=measured.step_time(batch, weight_bytes(model), rate),
        middle=key.position + warm_up + config.steps / 2,
        evicts=policy.evicts,
        peak_bytes=memory.peak_bytes(device),
        resident_bytes=decoder.cache.nbytes,
        setup_s=round(setup, 1),
        gate=gate,
        gate_regret=regret,
        device=provenance.device_name(device),
        versions=" ".join(f"{name} {version}" for name, version in provenance.versions().items()),
        commit=provenance.commit()[0] or "",
    )


def pass_gate(
    config: DictConfig, build: Callable[..., Decoder], options: DecoderOptions, position: int
) -> tuple[float, float]:
    """As `compare_engines` says it; a regret above the one allowed, or what was written elsewhere, is the end."""
    engine, witness = build(**vars(options)), Witness(**vars(options), seed=config.seed)
    share, regret, written = compare_engines(engine, witness, position, steps=config.gate, stagger=config.stagger)
    if regret > config.regret:
        raise ValueError(f"gate: a token lies {regret:.2f} deviations below the eager engine's best; see regret")
    if written > WRITTEN:
        raise ValueError(f"gate: keys or values of a layer lie {written:.2f} of their norm from the eager engine's")
    return share, regret


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="benchmark")
def application(config: DictConfig) -> None:
    context = HydraConfig.get()
    chosen: Mapping[str, str] = context.runtime.choices
    with one_line_errors():
        refuse_rows(context.overrides.task)
        check_plain(Benchmark, config)
        config = DictConfig(checked(Benchmark, config))
        refuse_idle(context.overrides.task, config)
        refuse_given(config.engine)
        benchmark(config, Choices(*(chosen[group] for group in ("shape", "method", "engine", "attention"))))


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
