"""Train guards of shared prompts against the best linear probe (docs/memory.md), and measure what each costs and hides.

For each weight lambda: the least of KL + lambda * readability, KL of a model that goes on from guarded columns to the
one that goes on from plain ones, readability as of kvarena.runners.guard. `front.csv` has a line a guard, its KL and
what probes read of it; `leaks.csv` a line a guard and probe.
"""

import csv
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import hydra
import torch
from hydra.utils import instantiate
from kvarena.runners.forget import Remembered
from kvarena.runners.forget.lesson import log_probabilities
from kvarena.runners.generate import Request
from kvarena.runners.guard import Guard, Shared, columns_of, leaks, memory_of, noisy, readability
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import one_line_errors, run_command, run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.model import Checkpoint, Model, inverse_frequencies, shape_of
from kvarena.tasks.procedural.problems import EVALUATION_SEED
from omegaconf import DictConfig
from texts import trained_texts
from torch import Tensor

Map = Callable[[Tensor], Tensor]  # of columns [L, H, S, F]


class Handover(NamedTuple):
    """A prompt that one model has read, and what another says that goes on from its columns."""

    text: Request
    columns: Tensor  # [L, H, S, F]
    follows: list[int]  # [T]
    plain: Tensor  # [T, V] log-probabilities without a guard

    @classmethod
    @torch.no_grad()
    def of(cls, model: Model, text: Request, frequencies: Tensor, tokens: int) -> "Handover":
        memory, follows = Remembered(), text.completion[:tokens]
        memory.read(model, text.prompt, 0)
        columns = columns_of(memory, frequencies)
        plain = log_probabilities(model, memory.follow(model, follows, len(text.prompt)))
        return cls(text, columns, follows, plain)

    def divergence(self, model: Model, guard: Map, frequencies: Tensor) -> Tensor:
        """[T] nats: KL(plain || guarded)."""
        memory = memory_of(guard(self.columns), frequencies, model.dtype)
        said = log_probabilities(model, memory.follow(model, self.follows, len(self.text.prompt)))
        return (self.plain.exp() * (self.plain - said)).sum(-1)


class Handovers:
    def __init__(self, cfg: DictConfig, model: Model, first: int, problems: int) -> None:
        self.cfg, self.model = cfg, model
        self.frequencies = inverse_frequencies(model, shape_of(model.config))
        seeds = range(first, first + problems)
        columns = zip(*(trained_texts(task, cfg.level, seeds) for task in cfg.tasks), strict=True)
        texts = chain.from_iterable(each[:: (-1) ** place] for place, each in enumerate(columns))
        self.all = [Handover.of(model, text, self.frequencies, cfg.tokens) for text in texts]

    def shared(self, which: Sequence[Handover], guard: Map) -> Shared:
        return Shared.of([guard(each.columns) for each in which], [each.text.prompt for each in which])

    def train(self, guard: Guard, weight: float, draw: random.Random) -> Iterator[tuple[float, float]]:
        """KL and readability of each step."""
        optimizer = torch.optim.Adam([each.requires_grad_() for each in guard.learnt], lr=self.cfg.lr)
        for step in range(self.cfg.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.cfg.lr * min(1.0, (step + 1) / 5, 2 - 2 * step / self.cfg.steps)
            texts = draw.sample(self.all, self.cfg.texts)
            halves = [self.shared(texts[place::2], guard) for place in (0, 1)]
            probes = (part for half in halves for part in (half.columns, half.tokens))
            readable = readability(*probes, self.cfg.penalty).mean()
            followed = texts[: self.cfg.followed]
            kl = torch.cat([each.divergence(self.model, guard, self.frequencies) for each in followed]).mean()
            (kl + weight * readable).backward()
            torch.nn.utils.clip_grad_norm_(guard.learnt, self.cfg.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            yield kl.item(), readable.item()

    @torch.no_grad()
    def measure(self, guard: Map) -> tuple[list[float], list[Mapping[str, object]]]:
        """KL a token of each text, and the rows of `leaks`."""
        kls = [float(each.divergence(self.model, guard, self.frequencies).mean()) for each in self.all]
        return kls, list(leaks(self.shared(self.all, guard), self.cfg.penalty, **self.cfg.perceptron))


def means_and_best(kls: Sequence[float], rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Of a guard: means over texts, and over heads or layers; the best probe of each kind."""
    ridge, layers, joint = (
        [float(str(row["right"])) for row in rows if row["probe"] == probe and (row["layer"] == "") == whole]
        for probe, whole in (("ridge", False), ("perceptron", False), ("perceptron", True))
    )
    errors = torch.tensor(kls)[torch.randint(len(kls), (2000, len(kls)), generator=torch.Generator().manual_seed(0))]
    low, high = errors.mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    shuffled = fmean(float(str(row["shuffled"])) for row in rows if row["probe"] == "ridge")
    controls = {"chance": rows[0]["chance"], "place": rows[0]["place"], "shuffled": shuffled}
    read = {"ridge": fmean(ridge), "ridge_best": max(ridge), "layer": fmean(layers), "layer_best": max(layers)}
    return {"kl": fmean(kls), "low": low, "high": high} | read | {"whole": joint[0]} | controls


def with_noise(strength: float, spread: Tensor, draw: torch.Generator) -> Map:
    return lambda columns: noisy(columns, strength, spread, draw)


def measured_guards(cfg: DictConfig, model: Model) -> Iterator[tuple[dict[str, object], list[Mapping[str, object]]]]:
    """A summary and its rows of each guard, the plain columns and noise first."""
    asked = Handovers(cfg, model, EVALUATION_SEED, cfg.asked)
    taught = Handovers(cfg, model, 0, cfg.problems)
    plain = taught.shared(taught.all, lambda columns: columns).columns
    guard = Guard.untrained(plain, cfg.hidden, torch.Generator().manual_seed(cfg.seed))
    for strength in (0, *cfg.noise):
        kls, rows = asked.measure(with_noise(strength, guard.spread, torch.Generator().manual_seed(cfg.seed)))
        yield {"guard": "noise" if strength else "none", "strength": strength} | means_and_best(kls, rows), rows
    draw = random.Random(cfg.seed)
    for weight in cfg.weights:
        began, steps = time.process_time(), list(taught.train(guard, weight, draw))
        kl, readable = (fmean(each) for each in zip(*steps[-10:], strict=True))
        seconds = time.process_time() - began
        print(f"lambda {weight}: KL {kl:.4f}, readability {readable:.4f}, {seconds:.0f} s", flush=True)
        kls, rows = asked.measure(guard)
        yield {"guard": "learned", "strength": weight} | means_and_best(kls, rows), rows


@hydra.main(config_path="pkg://kvarena.conf", config_name="train_guard", version_base="1.3")
@one_line_errors()
def main(cfg: DictConfig) -> None:
    checkpoint: Checkpoint = instantiate(cfg.model)
    model = checkpoint.load(find_device(cfg.device)).requires_grad_(False)
    folder = Path(cfg.output)
    folder.mkdir(parents=True, exist_ok=True)
    commit, dirty = provenance.commit()
    print(f"commit {commit[:9]}{' and changes' if dirty else ''}", flush=True)
    with (folder / "front.csv").open("w") as fronts, (folder / "leaks.csv").open("w") as probes:
        for place, (line, rows) in enumerate(measured_guards(cfg, model)):
            names = {name: line[name] for name in ("guard", "strength")}
            for file, lines in ((fronts, [line]), (probes, [names | dict(row) for row in rows])):
                table = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
                if not place:
                    table.writeheader()
                table.writerows({key: five_digits(value) for key, value in each.items()} for each in lines)
                file.flush()
            print(*(f"{key} {five_digits(value)}" for key, value in line.items()), flush=True)


def five_digits(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value


if __name__ == "__main__":
    run_script(lambda: run_command(main))
