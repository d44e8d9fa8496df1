"""Refill against shrinking batches: the same requests through the same decoder, on a log-normal mix of lengths.

    python scripts/speed/refill.py shape=qwen3_0_6b method=vase_attnv output=refill.csv

Refill: a place that becomes free takes the next prompt. Shrinking: as many prompts as there are places, until the last
of them has ended, then the next ones; a place without a row reads no cache, and weights are read once for all.
Weights are random, lengths those of a sampler that says the eos token when a row's own length is reached, so a row ends
as any other does. Prompts are part of the time, compilation, capture and the growth of dense layers are not.

B rows, V tokens of the vocabulary.
"""

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from kvarena.kernels import noise
from kvarena.kernels.noise import Noise
from kvarena.runners.generate import Decoder, Generation, Request
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import one_line_errors, run_command, run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.model import DTYPES, own_attention, random_model, shape_of
from kvarena.runners.record import check_appends
from kvarena.runners.sampler import Greedy
from omegaconf import DictConfig
from timed_keys import TimedRefill, timed_config
from torch import Tensor

END = 0  # the token that ends a row, said at no other time


@dataclass(frozen=True, kw_only=True)
class LogNormal(Greedy):
    """Greedy decoding of rows whose lengths, the end included, are a function of their noise."""

    median: float
    sigma: float
    cap: int

    def lengths(self, rows: Noise) -> Tensor:
        """[B] int64."""
        first = torch.zeros(1, 1, dtype=torch.int64, device=rows.keys.device)
        normal = rows.normal(first, 0, 0, noise.SAMPLER)[:, 0]
        return (self.median * (self.sigma * normal).exp()).round().long().clamp(1, self.cap)

    def __call__(self, logits: Tensor, rows: Noise, step: Tensor) -> Tensor:
        best = logits[:, END + 1 :].argmax(-1) + END + 1
        return torch.where(step + 1 < self.lengths(rows), best, END)


class ModeTiming(NamedTuple):
    steps: int
    tokens: int
    wall_s: float


def refill(decoder: Decoder, requests: Sequence[Request]) -> Iterator[Generation]:
    return decoder.run(requests)


def shrinking(decoder: Decoder, requests: Sequence[Request]) -> Iterator[Generation]:
    for start in range(0, len(requests), decoder.batch_size):
        yield from decoder.run(requests[start : start + decoder.batch_size])


MODES: tuple[Callable[[Decoder, Sequence[Request]], Iterator[Generation]], ...] = (shrinking, refill)


def warm_up(decoder: Decoder, prompt: Sequence[int]) -> None:
    """All that is compiled, captured and allocated, on rows that are idle; and a prompt."""
    cache = decoder.cache
    with own_attention(decoder.model), torch.inference_mode():
        decoder.prepare()
        cache.ahead = cache.longest
        if cache.reserve():
            decoder.moved()
        if decoder.policy.evicts:
            for size in {min(2**power, cache.batch_size) for power in range(cache.batch_size.bit_length() + 1)}:
                decoder.round(range(size))
        decoder.admit([0], [Request("warm-up", 0, prompt)])
        decoder.abandon()


def time_modes(decoder: Decoder, requests: Sequence[Request]) -> dict[str, ModeTiming]:
    """Both modes, by name."""
    timings, lengths = {}, []
    for mode in MODES:
        steps, started = decoder.steps, time.perf_counter()
        done = {generation.sample: len(generation.token_ids) for generation in mode(decoder, requests)}
        wall = time.perf_counter() - started
        timings[mode.__name__] = ModeTiming(decoder.steps - steps, sum(done.values()), wall)
        lengths.append(done)
    assert lengths[0] == lengths[1]  # or the modes had unlike work
    return timings


def build_decoder(config: DictConfig, lengths: DictConfig, prompt: int) -> Decoder:
    """For completions of these lengths after prompts of so many tokens."""
    device = find_device(config.device)
    dtype, shape = DTYPES[config.dtype], instantiate(config.shape)
    policy, attention, engine = (instantiate(config[group]) for group in ("method", "attention", "engine"))
    engine.func.check(shape_of(shape), device)
    attention.check(policy, dtype, device)
    model = random_model(shape, dtype, device, config.seed)
    model.generation_config.eos_token_id = END
    return engine(
        model=model,
        policy=policy,
        sampler=LogNormal(**lengths),
        attention=attention,
        max_tokens=lengths.cap,
        longest_prompt=prompt,
        batch_size=config.batch_size,
        seed=config.seed,
    )


def measure_refill(config: DictConfig, names: Mapping[str, str]) -> list[dict[str, object]]:
    """A line of the CSV a mode."""
    decoder = build_decoder(config, config.lengths, config.prompt)
    policy, vocabulary = decoder.policy, decoder.model.config.get_text_config().vocab_size
    words = torch.Generator().manual_seed(config.seed)
    prompts = torch.randint(END + 1, vocabulary, (config.num_requests, config.prompt), generator=words).tolist()
    warm_up(decoder, prompts[0])
    timings = time_modes(decoder, [Request(str(number), 0, prompt) for number, prompt in enumerate(prompts)])
    same = {
        **names,
        "tokens": policy.budget.tokens if policy.budget else None,
        "batch": config.batch_size,
        "requests": config.num_requests,
        **{f"length_{name}": value for name, value in config.lengths.items()},
        "device": provenance.device_name(decoder.device),
        "versions": " ".join(f"{name} {version}" for name, version in provenance.versions().items()),
        "commit": provenance.commit()[0],
    }
    base = timings[shrinking.__name__]
    return [
        {
            "mode": mode,
            "tokens_per_s": round(one.tokens / one.wall_s, 1),
            "ratio": round(base.wall_s / one.wall_s, 3),  # of tokens a second to those of shrinking batches
            "steps": one.steps,
            "wall_s": round(one.wall_s, 3),
            "generated": one.tokens,
            # share of the places that had a row; the first token of a row is its prompt's
            "busy": round((one.tokens - config.num_requests) / (one.steps * config.batch_size), 3),
            **same,
        }
        for mode, one in timings.items()
    ]


def append_lines(path: Path, lines: Sequence[Mapping[str, object]], said: str) -> None:
    for line in lines:
        print(said.format(**line), flush=True)
    new = not path.exists()
    with path.open("a+", newline="", errors="replace") as file:
        file.seek(0)
        if not new and next(csv.reader(file), None) != list(lines[0]):
            raise ValueError(f"output={path} has other columns: choose another file")
        table = csv.DictWriter(file, list(lines[0]))
        if new:
            table.writeheader()
        table.writerows(lines)


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="refill")
def application(config: DictConfig) -> None:
    context = HydraConfig.get()
    choices: Mapping[str, str] = context.runtime.choices
    with one_line_errors():
        config = timed_config(TimedRefill, config, context.overrides.task)
        check_appends(Path(config.output))
        names = {"model": choices["shape"], "method": choices["method"], "engine": choices["engine"]}
        said = "{mode}: {tokens_per_s} tokens/s, {steps} steps, {wall_s} s, ratio {ratio}"
        append_lines(Path(config.output), measure_refill(config, names), said)


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    run_script(main)
