"""Train a learned eraser of the reasoner (docs/memory.md): the model stays, what takes a span's place is learnt.

Two stages: the neighbours of any span are said once more, as if nothing had been between them; then spans of the tasks
are erased, and the text goes on. Loss is KL(p || w) of what follows, as in kvarena-forget.
"""

import csv
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from hydra.utils import instantiate
from kvarena.runners.forget import MarkedText, Remembered, Span
from kvarena.runners.forget.lesson import Lesson, neighbours
from kvarena.runners.forget.spans import joined
from kvarena.runners.forget.steer import Steer
from kvarena.runners.generate import Request
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import one_line_errors, run_command, run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.job.made_of import weights
from kvarena.runners.model import Checkpoint, Model, Tokenizer, shape_of
from omegaconf import DictConfig, OmegaConf
from texts import trained_texts

STAGES = ("neighbours", "task")
LEFT = 16  # tokens that a text says behind the cut, at least


class Source:
    """Lessons without end, of the training problems of some tasks."""

    def __init__(self, cfg: DictConfig, tasks: Sequence[str], seeds: range, model: Model, tokenizer: Tokenizer) -> None:
        self.cfg, self.model, self.tokenizer = cfg, model, tokenizer
        self.texts = [trained_texts(task, cfg.level, seeds) for task in tasks]
        self.spans: list[Span] = [instantiate(span) for span in cfg.spans.values()]
        self.draw = random.Random(cfg.seed)

    def lesson(self, stage: str, hard: float) -> Lesson:
        """Of the next text drawn that has such a span, goes on behind it, and would not say the same without it.

        In a part `hard` of them a drop leaves as much to unlearn.
        """
        is_hard = self.draw.random() < hard
        while True:
            texts = self.draw.choice(self.texts)
            place = self.draw.randrange(len(texts))
            try:
                text = self.neighboured(texts[place]) if stage == "neighbours" else self.spanned(texts, place)
                cut = text.cut(self.draw.choice(self.cfg.after), self.cfg.recent)
            except ValueError:  # a text without such a span
                continue
            if len(text.tokens) > cut + LEFT:
                text = neighbours(text, cut) if stage == "neighbours" else text
                lesson = Lesson.of(self.model, text, cut, self.cfg.tokens)
                if self.says(lesson, lesson.dropped() if is_hard else lesson.memory) >= self.cfg.least:
                    return lesson

    @torch.no_grad()
    def says(self, lesson: Lesson, memory: Remembered) -> float:
        """Nats, over all that follows."""
        return float(lesson.divergence(self.model, memory).sum())

    def neighboured(self, text: Request) -> MarkedText:
        length = self.draw.randint(*self.cfg.lengths)
        start = self.draw.randrange(1, len(text.prompt) + len(text.completion) // 2)
        return MarkedText(text.sample, joined(text), len(text.prompt), (start, start + length))

    def spanned(self, texts: Sequence[Request], place: int) -> MarkedText:
        span = self.draw.choice(self.spans)
        return span.mark(texts[place], texts[place - 1], self.tokenizer)


class HeldOut(NamedTuple):
    lessons: list[Lesson]
    dense: float  # nats
    dropped: float  # influence after a drop

    @classmethod
    def of(cls, source: Source, count: int) -> "HeldOut":
        lessons = [source.lesson("task", 0) for _ in range(count)]
        dense = sum(source.says(each, each.memory) for each in lessons)
        return cls(lessons, dense, sum(source.says(each, each.dropped()) for each in lessons) / dense)

    @torch.no_grad()
    def influence(self, source: Source, steer: Steer) -> float:
        return sum(source.says(each, each.steered(source.model, steer)) for each in self.lessons) / self.dense


def teach(steer: Steer, source: Source, held: Sequence[HeldOut], cfg: DictConfig) -> Iterator[list[object]]:
    """Steps of both stages; a line of the log now and then."""
    tensors = [tensor.requires_grad_() for tensor in steer.tensors.values()]
    optimizer = torch.optim.Adam(tensors, lr=cfg.lr)
    total, step, began = sum(cfg.steps.values()), 0, time.perf_counter()
    for stage in STAGES:
        pool = [source.lesson(stage, cfg.hard) for _ in range(cfg.pool if cfg.steps[stage] else 0)]
        for _ in range(cfg.steps[stage]):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = cfg.lr * min(1.0, step / cfg.warmup, 2 - 2 * step / (total + 1))
            if step % cfg.renewed == 0:
                pool[source.draw.randrange(len(pool))] = source.lesson(stage, cfg.hard)
            loss = 0.0
            for lesson in source.draw.sample(pool, cfg.lessons):
                part = lesson.divergence(source.model, lesson.steered(source.model, steer)).mean() / cfg.lessons
                part.backward()
                loss += part.item()
            torch.nn.utils.clip_grad_norm_(tensors, cfg.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % cfg.log_every == 0 or step == total:
                influences = [f"{each.influence(source, steer):.4f}" for each in held]
                yield [stage, step, f"{time.perf_counter() - began:.0f}", f"{loss:.4g}", *influences]


@hydra.main(config_path="pkg://kvarena.conf", config_name="train_eraser", version_base="1.3")
@one_line_errors()
def main(cfg: DictConfig) -> None:
    checkpoint: Checkpoint = instantiate(cfg.model)
    model = checkpoint.load(find_device(cfg.device)).requires_grad_(False)
    tokenizer, behind = checkpoint.tokenizer(), range(cfg.problems, cfg.problems + cfg.held_out)
    source = Source(cfg, cfg.tasks, range(cfg.problems), model, tokenizer)
    held = [
        HeldOut.of(Source(cfg, tasks, behind, model, tokenizer), cfg.held_out * len(tasks))
        for tasks in (cfg.tasks, cfg.unlike)
    ]
    commit, dirty = provenance.commit()
    asked = {key: value for key, value in OmegaConf.to_container(cfg, resolve=True).items() if key != "model"}
    made = {"model": checkpoint.name, "weights": weights(checkpoint), "config": asked, "commit": commit, "dirty": dirty}
    steer = Steer.untrained(model, shape_of(model.config), cfg.layers, cfg.rank, made)
    print(f"{steer.parameters} parameters; dropped {[round(each.dropped, 4) for each in held]}", flush=True)
    output = Path(cfg.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.with_suffix(".csv").open("w", newline="") as file:
        log = csv.writer(file, lineterminator="\n")
        log.writerow(["stage", "step", "seconds", "loss", "influence", "influence_unlike"])
        log.writerow(["", 0, 0, "", *(f"{each.influence(source, steer):.4f}" for each in held)])
        for line in teach(steer, source, held, cfg):
            log.writerow(line)
            file.flush()
            print(*line, flush=True)
    steer.write(output)
    print(f"written to {output}")


if __name__ == "__main__":
    run_script(lambda: run_command(main))
