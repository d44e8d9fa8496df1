"""How far each task is learnt while training goes on: held-out documents, the model fed the right words."""

from typing import NamedTuple

import torch
from data import DocumentJob, fill_rows, load_task
from kvarena.tasks.procedural.problems import TRAINING_SEEDS
from mixture import IGNORED, Batch, make_batch, make_pool
from omegaconf import DictConfig
from torch.nn.functional import cross_entropy
from transformers import Qwen3ForCausalLM

FIRST_SEED = TRAINING_SEEDS.stop // 2  # far from those that are trained on, and not those of the evaluation


class ProbeReading(NamedTuple):
    loss: float  # mean over the words of the completions
    exact: float  # share of the completions in which every word is the likeliest


class HeldOutProbe:
    """One batch of each task and level; reads the live weights through an uncompiled twin of the model."""

    def __init__(self, model: Qwen3ForCausalLM, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.twin = Qwen3ForCausalLM(model.config).to(cfg.device).eval()
        self.twin.load_state_dict(model.state_dict(), assign=True)
        self.twin.tie_weights()
        seeds = {level: range(FIRST_SEED, FIRST_SEED + count) for level, count in cfg.probe.items()}
        jobs = [
            DocumentJob(task, load_task(task, level).samples.generator, seeds[level])
            for task in cfg.tasks
            for level in seeds
        ]
        self.batches: dict[str, list[Batch]] = {task: [] for task in cfg.tasks}
        for job in jobs:
            (part,) = fill_rows([max(cfg.widths)], job)
            batch = make_batch(make_pool([part], cfg.device), torch.arange(len(part.tokens), device=cfg.device))
            width = int(part.ends.max())
            self.batches[job.task].append(Batch(batch.tokens[:, :width], batch.labels[:, :width]))

    def read(self) -> dict[str, list[ProbeReading]]:
        """Of each task, level by level."""
        return {task: [self._read(batch) for batch in batches] for task, batches in self.batches.items()}

    @torch.no_grad()
    def _read(self, batch: Batch) -> ProbeReading:
        with torch.autocast(self.cfg.device, torch.bfloat16):
            logits = self.twin(input_ids=batch.tokens, use_cache=False).logits.float()
        loss = cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED)
        right = (logits.argmax(-1) == batch.labels) | (batch.labels == IGNORED)
        return ProbeReading(float(loss), float(right.all(1).float().mean()))
