"""The model card of the reasoner, from what its training measured."""

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
import transformers
from kvarena.tasks.procedural.graph_search import GraphSearch
from kvarena.tasks.procedural.problems import EVALUATION_SEED
from omegaconf import DictConfig
from reasoner_evaluation import Score

CARD = """---
license: apache-2.0
pipeline_tag: text-generation
library_name: transformers
---

# reasoner

A Qwen3 of {parameters:.1f} M parameters that searches graphs aloud, trained from nothing in {minutes:g} minutes on one
GPU: a model that reasons step by step and on which a benchmark of KV-cache compression runs on a laptop. It answers the
problems of `task=graph_search` and nothing else.

## Architecture
`Qwen3ForCausalLM`: hidden size {hidden}, {layers} layers, {heads} query and {kv_heads} KV heads of {head_dim}, SwiGLU
{mlp}, tied embeddings, {vocabulary} word-level tokens, RoPE theta {theta:g}, at most {positions} positions, stored in
bfloat16. The chat template is Qwen3's; the model opens with `<think>`, ends its thought with `</think>`, writes the
path, and stops at `<|im_end|>`.

## Data
A random graph as adjacency lists, a start and a goal; the chain of thought is a depth-first search with backtracking.
It names the whole path before each node, so that what an eviction drops is often said again later, and attention
dropout of {dropout} in training makes the model use that. Loss on the completion only; one document a row, from
position 0 on.

| generator | edges | words of the chain | seeds trained on |
| --- | --- | --- | --- |
{sizes}

Evaluation starts at seed 2**30 = {evaluation_seed}; `Problems` refuses lower ones.

## Dense greedy accuracy
In {dtype}, on the files beside this card, with `generate` of transformers:

| level | problems | accuracy | mean tokens, prompt and completion |
| --- | --- | --- | --- |
{scores}

## Training
`{command}`

Seed {seed}; the learning rate follows the clock, so a second run agrees in accuracy and not bit for bit. {steps} steps,
{tokens:.0f} M tokens with padding, {train:.0f} s; data {data:.0f} s; with evaluation {total:.0f} s in all. {device},
torch {torch}, transformers {transformers}, Python {python}. The loss curve is in `loss.csv`.
"""


def write_card(
    folder: Path, cfg: DictConfig, documents: Mapping[GraphSearch, int], facts: Mapping[str, float], scores: list[Score]
) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    text = CARD.format(
        parameters=facts["parameters"] / 1e6,
        minutes=cfg.minutes,
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
        sizes="\n".join(_size_row(generator, count) for generator, count in documents.items()),
        evaluation_seed=EVALUATION_SEED,
        dtype="bfloat16" if cfg.device == "cuda" else "float32",
        scores="\n".join(_score_row(score) for score in scores),
        command=" ".join(["python scripts/train_reasoner.py", *sys.argv[1:]]),
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


def _size_row(generator: GraphSearch, count: int) -> str:
    chain = f"{generator.min_chain} to {generator.max_chain}"
    return f"| {generator.name} | {generator.num_edges} | {chain} | 0 to {count - 1} |"


def _score_row(score: Score) -> str:
    return f"| {score.level} | {score.problems} | {score.accuracy:.4f} | {score.mean_length:.0f} |"
