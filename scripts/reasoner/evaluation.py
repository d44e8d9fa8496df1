"""Dense greedy accuracy of the saved reasoner on evaluation problems of every task and level."""

import csv
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import torch
from data import load_task
from decoding import decode_dense
from kvarena.tasks.task import Task
from omegaconf import DictConfig
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass(frozen=True, kw_only=True)
class LevelScore:
    task: str
    level: str
    problems: int
    accuracy: float
    truncated: float  # share without an end
    mean_prompt: float
    mean_completion: float


def evaluate_reasoner(cfg: DictConfig, folder: Path) -> list[LevelScore]:
    """The files as written are what is measured."""
    dtype = torch.bfloat16 if cfg.device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(cfg.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scores = []
    for level, num_problems in cfg.problems.items():
        began = time.perf_counter()
        tasks = [load_task(task, level) for task in cfg.tasks]
        prompts = [read_prompts(task, tokenizer, num_problems) for task in tasks]
        limits = [min(task.max_tokens, cfg.max_tokens) for task in tasks for _ in range(num_problems)]
        completions = decode_dense(model, [prompt for group in prompts for prompt in group], limits)
        for place, task in enumerate(tasks):
            own = completions[place * num_problems : (place + 1) * num_problems]
            scores.append(score_level(task, level, prompts[place], own, [tokenizer.decode(words) for words in own]))
        print(f"{level}: {time.perf_counter() - began:.0f} s", flush=True)
    with (folder / "accuracy.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(asdict(scores[0])))
        table.writeheader()
        table.writerows(map(asdict, scores))
    return scores


def read_prompts(task: Task, tokenizer: AutoTokenizer, num_problems: int) -> list[list[int]]:
    chats = [[{"role": "user", "content": task.prompt(sample)}] for sample in task.samples[:num_problems]]
    return [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]


def score_level(
    task: Task, level: str, prompts: list[list[int]], completions: list[list[int]], texts: list[str]
) -> LevelScore:
    samples = task.samples[: len(texts)]
    grades = [task.grader(text, sample.target, sample.meta) for text, sample in zip(texts, samples, strict=True)]
    notes = Counter(grade.note for grade in grades if grade.note).most_common(3)
    result = LevelScore(
        task=task.name,
        level=level,
        problems=len(samples),
        accuracy=mean(grade.score for grade in grades),
        truncated=mean(not grade.answer for grade in grades),
        mean_prompt=mean(map(len, prompts)),
        mean_completion=mean(len(words) + 1 for words in completions),  # the end is a token too
    )
    print(f"{result} {notes if notes else ''}", flush=True)
    return result
