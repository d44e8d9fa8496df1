"""Dense greedy accuracy of the saved reasoner on evaluation problems of every level, with transformers alone."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra.utils import instantiate
from kvarena.tasks.task import Task
from omegaconf import DictConfig
from transformers import AutoModelForCausalLM, AutoTokenizer


@dataclass(frozen=True, kw_only=True)
class Score:
    level: str
    problems: int
    accuracy: float
    mean_length: float  # tokens of prompt and completion
    seconds: float


def evaluate(cfg: DictConfig, folder: Path) -> list[Score]:
    """The files as written are what is measured."""
    dtype = torch.bfloat16 if cfg.device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(cfg.device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scores = []
    for level in cfg.levels:
        cfg.difficulty = level
        scores.append(score(level, model, tokenizer, instantiate(cfg.task), cfg.problems))
        print(scores[-1], flush=True)
    return scores


@torch.inference_mode()
def score(level: str, model: AutoModelForCausalLM, tokenizer: AutoTokenizer, task: Task, num_problems: int) -> Score:
    began = time.perf_counter()
    samples = task.samples[:num_problems]
    chats = [[{"role": "user", "content": task.prompt(sample)}] for sample in samples]
    prompts = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    output = model.generate(**prompts, max_new_tokens=task.max_tokens)
    completions = tokenizer.batch_decode(output[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)
    grades = [task.grader(text, s.target, s.meta) for text, s in zip(completions, samples, strict=True)]
    return Score(
        level=level,
        problems=len(samples),
        accuracy=sum(grade.score for grade in grades) / len(grades),
        mean_length=float((output != tokenizer.pad_token_id).sum(1).float().mean()),
        seconds=time.perf_counter() - began,
    )
