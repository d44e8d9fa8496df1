"""Where the time of a whole run goes: a mix of requests through the decode loop, beside what its step alone would take.

    python scripts/speed/whole_run.py mix=short shape=qwen2_5_1_5b method=vase_attnv batch_size=128 output=whole_run.csv

Efficiency is (tokens / batch x step) / seconds of prompts and decoding, where the step is timed on its own, with all
places at the mix's mean position, before the run and after it: `step_ms` is the lesser, since other work on the host
makes a step long, and with it a run look good. Both, and the host's load at each, stand in the line. Weights are
random, and lengths are those of refill.py. Load, set-up and capture (steps of fewer rows included, where engine.narrow
asks for them), and the grading of as many boxed answers, stand beside it: a sweep pays for the first ones once.
`places` are the rows of all steps together.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from kvarena.runners.generate import Decoder, Generation, Request, sizes
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import one_line_errors, run_command, run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.model import own_attention
from kvarena.runners.record import check_appends
from kvarena.runners.speed import measure_steps, place_rows
from kvarena.tasks.graders.math import MathGrader
from mixed import Mixed, draw_mix, in_order
from omegaconf import DictConfig
from refill import END, append_lines, build_decoder, warm_up
from timed_keys import TimedRun, timed_config

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


class Ran(NamedTuple):
    """Of all requests."""

    wall: float  # seconds
    prompts: float  # of these
    tokens: int
    steps: int
    places: int

    def parts(self, requests: int, batch_size: int, step: float) -> dict[str, float]:
        """Where its time went; `step` in seconds."""
        busy = (self.tokens - requests) / self.places  # the first token of a row is its prompt's
        return {
            "efficiency": round(self.tokens / batch_size * step / self.wall, 4),
            "wall_s": round(self.wall, 3),
            "prefill_s": round(self.prompts, 3),
            "decode_s": round((self.wall - self.prompts) * busy, 3),
            "idle_s": round((self.wall - self.prompts) * (1 - busy), 3),  # of places that no request had
        }


def run_all(decoder: Decoder, mixed: Mixed, requests: list[Request], lap: Laps) -> Ran:
    lap()
    steps, places = decoder.steps, decoder.places
    done: list[Generation] = list(decoder.run(requests))
    wall, steps, places = lap(), decoder.steps - steps, decoder.places - places
    assert {(each.sample, each.draw): len(each.token_ids) for each in done} == mixed.lengths
    return Ran(wall, sum(each.prefill_s for each in done), sum(mixed.lengths.values()), steps, places)


def step_columns(before: OwnStep, after: OwnStep) -> dict[str, float]:
    return {
        "step_ms": round(1e3 * min(before.seconds, after.seconds), 4),
        "step_before_ms": round(1e3 * before.seconds, 4),
        "step_after_ms": round(1e3 * after.seconds, 4),
        "load_before": round(before.load, 2),
        "load_after": round(after.load, 2),
    }


def measure_run(config: DictConfig, names: Mapping[str, str]) -> dict[str, object]:
    """A line of the CSV."""
    lap = Laps(find_device(config.device))
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
    ran = run_all(decoder, mixed, requests, lap)
    after = own_step(decoder, mixed.mean_position, config.steps)
    budget = decoder.policy.budget
    return {
        **names,
        "order": config.order,
        "batch": config.batch_size,
        "narrow": decoder.narrow,
        "prompts_at_once": decoder.prompt.most,
        "tokens": budget.tokens if budget else None,
        **ran.parts(len(requests), config.batch_size, min(before.seconds, after.seconds)),
        "set_up_s": round(set_up, 3),
        "capture_s": round(capture, 3),
        "grading_s": round(grading_seconds(len(requests)), 3),
        **step_columns(before, after),
        "mean_position": mixed.mean_position,
        "steps": ran.steps,
        "places": ran.places,
        "generated": ran.tokens,
        "requests": len(requests),
        "device": provenance.device_name(decoder.device),
        "versions": " ".join(f"{name} {version}" for name, version in provenance.versions().items()),
        "commit": provenance.commit()[0],
    }


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="whole_run")
def application(config: DictConfig) -> None:
    context = HydraConfig.get()
    choices: Mapping[str, str] = context.runtime.choices
    with one_line_errors():
        config = timed_config(TimedRun, config, context.overrides.task)
        check_appends(Path(config.output))
        names = {"mix": choices["mix"], "model": choices["shape"], "method": choices["method"]}
        line = measure_run(config, names | {"engine": choices["engine"]})
        append_lines(Path(config.output), [line], "{mix}, {method}: efficiency {efficiency}, {wall_s} s")


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    run_script(main)
