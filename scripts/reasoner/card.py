"""The model card of the reasoner, from what its training measured."""

import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import transformers
from data import DocumentJob
from evaluation import LevelScore
from kvarena.tasks.procedural.problems import EVALUATION_SEED
from omegaconf import DictConfig

CARD = """---
license: apache-2.0
pipeline_tag: text-generation
library_name: transformers
---

# reasoner

A Qwen3 of {parameters:.1f} M parameters that reasons aloud, trained from nothing in {minutes:g} minutes on one GPU:
small enough for a benchmark of KV-cache compression to run on a laptop. It answers the problems of the generated tasks
{tasks} and nothing else.

## Architecture
`Qwen3ForCausalLM`: hidden size {hidden}, {layers} layers, {heads} query and {kv_heads} KV heads of {head_dim}, SwiGLU
{mlp}, tied embeddings, {vocabulary} word-level tokens, RoPE theta {theta:g}, at most {positions} positions, stored in
bfloat16. The chat template is Qwen3's; the model opens with `<think>`, ends its thought with `</think>`, writes the
answer, and stops at `<|im_end|>`.

## Data
Problems and chains of thought are generated (`tasks/procedural`). Every chain says its state again as it goes on, so
that what an eviction drops is often said again later, and attention dropout of {dropout} in training makes the model
use that. Loss on the completion only; one document a row, from position 0 on. A task whose held-out documents are not
yet wholly right is drawn more often (`scripts/reasoner/mixture.py`).

| generator | seeds trained on | size |
| --- | --- | --- |
{sizes}

Evaluation starts at seed 2**30 = {evaluation_seed}; `Problems` refuses lower ones.

## Dense greedy accuracy
In {dtype}, on the files beside this card; tokens on average:

| task | level | problems | accuracy | no answer | prompt | completion |
| --- | --- | --- | --- | --- | --- | --- |
{scores}

## Training
`{command}`

Seed {seed}; the learning rate follows the clock, so a second run is not the same bit for bit. {steps} steps,
{tokens:.0f} M tokens with padding, {train:.0f} s; data {data:.0f} s; with evaluation {total:.0f} s in all. {device},
torch {torch}, transformers {transformers}, Python {python}. The loss curve is in `loss.csv`, the
held-out loss and accuracy of each task in `probe.csv`.
"""


def write_card(
    folder: Path, cfg: DictConfig, jobs: Sequence[DocumentJob], facts: Mapping[str, float], scores: Sequence[LevelScore]
) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    text = CARD.format(
        parameters=facts["parameters"] / 1e6,
        minutes=cfg.minutes,
        tasks=", ".join(f"`{task}`" for task in cfg.tasks),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        mlp=config.intermediate_size,
        vocabulary=config.vocab_size,
        theta=config.rope_parameters["rope_theta"],
        positions=config.max_position_embeddings,
        dropout=config.attention_dropout,
        sizes="\n".join(map(_size_row, jobs)),
        evaluation_seed=EVALUATION_SEED,
        dtype="bfloat16" if cfg.device == "cuda" else "float32",
        scores="\n".join(map(_score_row, scores)),
        command=" ".join(
            ["python scripts/reasoner/train.py", *(arg for arg in sys.argv[1:] if not arg.startswith("output="))]
        ),
        seed=cfg.seed,
        steps=int(facts["steps"]),
        tokens=facts["tokens"] / 1e6,
        train=facts["seconds"],
        data=facts["data"],
        total=facts["total"],
        device=torch.cuda.get_device_name() if cfg.device == "cuda" else "CPU",
        torch=torch.__version__,
        transformers=transformers.__version__,
        python=platform.python_version(),
    )
    (folder / "README.md").write_text(text)


def _size_row(job: DocumentJob) -> str:
    size = ", ".join(f"{key}={value}" for key, value in asdict(job.generator).items())
    return f"| {job.generator.name} | {job.seeds.start} to {job.seeds.stop - 1} | {size} |"


def _score_row(score: LevelScore) -> str:
    return (
        f"| {score.task} | {score.level} | {score.problems} | {score.accuracy:.4f} | {score.truncated:.4f} | "
        f"{score.mean_prompt:.0f} | {score.mean_completion:.0f} |"
    )
