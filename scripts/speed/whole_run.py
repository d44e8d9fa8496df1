"""Where the time of a whole run goes: a mix of requests through the decode loop, beside what its step alone would take.

    python scripts/speed/whole_run.py mix=short shape=qwen2_5_1_5b method=vase_attnv batch_size=128 output=whole_run.csv

Efficiency is (tokens / batch x step) / seconds of prompts and decoding, where the step is timed on its own, with all
places at the mix's mean position, before the run and after it: `step_ms` is the lesser, since other work on the host
makes a step long, and with it a run look good. Both, and the host's load at each, stand in the line. Weights are
random, and lengths are those of refill.py. Load, set-up and capture (steps of fewer rows included, where engine.narrow
asks for them), and the grading of as many boxed answers, stand beside it: a sweep pays for the first ones once.
`places` are the rows of all steps together.
"""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from kvarena.kernels.noise import Noise
from kvarena.runners.generate import Decoder, Generation, Request, sizes
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import one_line_errors, run_command
from kvarena.runners.job.order import longest_first
from kvarena.runners.model import own_attention
from kvarena.runners.speed import measure_steps, place_rows
from kvarena.tasks.graders.math import MathGrader
from omegaconf import DictConfig
from refill import END, LogNormal, append_lines, build_decoder, warm_up

ORDERS = ("given", "predicted", "known")
BUCKET = 64  # tokens: passes of so many, twice as many and so on are captured before the clock starts


class Laps:
    """Seconds since it was last asked, the device's work included."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.last = device, time.perf_counter()

    def __call__(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        before, self.last = self.last, time.perf_counter()
        return self.last - before


class Mixed(NamedTuple):
    requests: list[Request]
    lengths: dict[tuple[str, int], int]  # of each completion

    @property
    def mean_position(self) -> int:
        """Of a token of a completion."""
        spans = [(len(request.prompt), self.lengths[request.key]) for request in self.requests]
        return round(sum(length * (prompt + length / 2) for prompt, length in spans) / sum(n for _, n in spans))


def draw_mix(mix: DictConfig, sampler: LogNormal, vocabulary: int, seed: int) -> Mixed:
    random = torch.Generator().manual_seed(seed)
    normal = torch.randn(mix.samples, generator=random)
    sizes = (mix.prompt.median * (mix.prompt.sigma * normal).exp()).round().clamp(mix.prompt.least, mix.prompt.most)
    prompts = [torch.randint(END + 1, vocabulary, (int(n),), generator=random).tolist() for n in sizes]
    requests = [Request(str(i), draw, prompt) for i, prompt in enumerate(prompts) for draw in range(mix.draws)]
    keys = torch.tensor([Noise.key(seed, *request.key) for request in requests])
    lengths = sampler.lengths(Noise(keys=keys)).tolist()
    return Mixed(requests, {request.key: length for request, length in zip(requests, lengths, strict=True)})


def in_order(mixed: Mixed, order: str, error: float, seed: int) -> list[Request]:
    """As a run would begin them, that knows of a sample what an earlier run knew."""
    if order not in ORDERS:
        raise ValueError(f"order={order}: use one of {', '.join(ORDERS)}")
    if order == "given":
        return mixed.requests
    random, by_sample = torch.Generator().manual_seed(seed + 1), dict[str, list[int]]()
    for request in mixed.requests:
        by_sample.setdefault(request.sample, []).append(mixed.lengths[request.key])
    off = error if order == "predicted" else 0.0
    expected = {
        sample: sum(lengths) / len(lengths) * math.exp(off * torch.randn((), generator=random).item())
        for sample, lengths in by_sample.items()
    }
    return longest_first(mixed.requests, expected)


def capture_prompts(decoder: Decoder, longest: int) -> None:
    """Passes of all sizes, and beginnings of all numbers of rows."""
    most = min(decoder.prompt.most, decoder.batch_size)
    totals = [*range(most, most * longest, BUCKET), most * longest]
    passes = [[total // most + (i < total % most) for i in range(most)] for total in totals]
    with own_attention(decoder.model), torch.inference_mode():
        for sizes in [*passes, *([1] * count for count in range(1, most + 1))]:
            requests = [Request("warm-up", i, [END + 1 + i] * size) for i, size in enumerate(sizes)]
            decoder.admit(range(len(sizes)), requests)
            decoder.abandon()


def capture_narrow(decoder: Decoder) -> None:
    """Steps of fewer rows, all of them idle."""
    with own_attention(decoder.model), torch.inference_mode():
        for rows in sizes(decoder.batch_size) if decoder.narrow else ():
            decoder.use(rows)
            decoder.step()
        decoder.abandon()


class OwnStep(NamedTuple):
    seconds: float
    load: float  # processes of the host that run or wait, mean of a minute


def own_step(decoder: Decoder, position: int, steps: int) -> OwnStep:
    """Of a step with all places taken, its share of the rounds included; the least of three times so many steps."""
    load, times = os.getloadavg()[0], list[float]()
    with own_attention(decoder.model), torch.inference_mode():
        decoder.prepare()
        for _ in range(3):
            place_rows(decoder, position, stagger=True)
            measure_steps(decoder, steps // 4)
            times.append(measure_steps(decoder, steps).seconds)
            decoder.abandon()
    return OwnStep(min(times), load)


def grading_seconds(count: int) -> float:
    """Of as many answers in boxes, one after the other."""
    grader, started = MathGrader(), time.perf_counter()
    for number in range(count):
        grader(f"It is \\boxed{{\\frac{{{number}}}{{7}}}}.", f"{number}/7")
    return time.perf_counter() - started


def measure_run(config: DictConfig, names: Mapping[str, str]) -> dict[str, object]:
    """A line of the CSV."""
    device = torch.device(config.device)
    lap = Laps(device)
    decoder = build_decoder(config, config.mix.completion, config.mix.prompt.most)
    set_up = lap()
    vocabulary = decoder.model.config.get_text_config().vocab_size
    mixed = draw_mix(config.mix, decoder.sampler, vocabulary, config.seed)
    requests = in_order(mixed, config.order, config.error, config.seed)
    warm_up(decoder, requests[0].prompt)
    capture_prompts(decoder, config.mix.prompt.most)
    capture_narrow(decoder)
    capture = lap()
    before = own_step(decoder, mixed.mean_position, config.steps)
    lap()
    steps, places = decoder.steps, decoder.places
    done: list[Generation] = list(decoder.run(requests))
    wall, steps, places = lap(), decoder.steps - steps, decoder.places - places
    assert {(each.sample, each.draw): len(each.token_ids) for each in done} == mixed.lengths
    prompts, tokens = sum(each.prefill_s for each in done), sum(mixed.lengths.values())
    after = own_step(decoder, mixed.mean_position, config.steps)
    step = min(before.seconds, after.seconds)
    busy = (tokens - len(requests)) / places  # the first token of a row is its prompt's
    budget = decoder.policy.budget
    return {
        **names,
        "order": config.order,
        "batch": config.batch_size,
        "narrow": decoder.narrow,
        "prompts_at_once": decoder.prompt.most,
        "tokens": budget.tokens if budget else None,
        "efficiency": round(tokens / config.batch_size * step / wall, 4),
        "wall_s": round(wall, 3),
        "prefill_s": round(prompts, 3),
        "decode_s": round((wall - prompts) * busy, 3),
        "idle_s": round((wall - prompts) * (1 - busy), 3),  # of places that no request had
        "set_up_s": round(set_up, 3),
        "capture_s": round(capture, 3),
        "grading_s": round(grading_seconds(len(requests)), 3),
        "step_ms": round(1e3 * step, 4),
        "step_before_ms": round(1e3 * before.seconds, 4),
        "step_after_ms": round(1e3 * after.seconds, 4),
        "load_before": round(before.load, 2),
        "load_after": round(after.load, 2),
        "mean_position": mixed.mean_position,
        "steps": steps,
        "places": places,
        "generated": tokens,
        "requests": len(requests),
        "device": provenance.device_name(decoder.device),
        "versions": " ".join(f"{name} {version}" for name, version in provenance.versions().items()),
        "commit": provenance.commit()[0],
    }


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="whole_run")
def application(config: DictConfig) -> None:
    choices: Mapping[str, str] = HydraConfig.get().runtime.choices
    with one_line_errors():
        names = {"mix": choices["mix"], "model": choices["shape"], "method": choices["method"]}
        line = measure_run(config, names | {"engine": choices["engine"]})
        append_lines(Path(config.output), [line], "{mix}, {method}: efficiency {efficiency}, {wall_s} s")


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
