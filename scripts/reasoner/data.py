"""Documents of the reasoner: one problem a row from position 0 on, rows of one task and like length together."""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from hydra.utils import instantiate
from kvarena.tasks.procedural.problems import TRAINING_SEEDS, Generator, Problem
from kvarena.tasks.procedural.vocabulary import WORDS
from kvarena.tasks.task import Task
from omegaconf import DictConfig, OmegaConf
from transformers import PreTrainedTokenizerFast

INDEX = {word: index for index, word in enumerate(WORDS)}
CHUNK = 250  # problems a worker makes at a time


class DocumentJob(NamedTuple):
    task: str
    generator: Generator
    seeds: range


@dataclass(frozen=True, kw_only=True)
class Documents:
    """N documents of up to S tokens, padded at the end."""

    tokens: np.ndarray  # [N, S] uint8: the vocabulary has at most 256 words
    starts: np.ndarray  # [N] int32: tokens of the prompt, which bear no loss
    ends: np.ndarray  # [N] int32: tokens of the document


def load_task(name: str, level: str) -> Task:
    cfg = OmegaConf.load(str(files("kvarena.conf") / f"task/{name}.yaml"))
    cfg.difficulty = level
    return instantiate(cfg.task)


def training_jobs(cfg: DictConfig) -> list[DocumentJob]:
    """Each task's levels and the sizes between, with the seeds wanted of each."""
    jobs = []
    for name, wanted in cfg.tasks.items():
        for level, count in wanted.documents.items():
            jobs.append(DocumentJob(name, load_task(name, level).samples.generator, TRAINING_SEEDS[:count]))
        for between in wanted.between:
            size = {key: value for key, value in between.items() if key != "documents"}
            jobs.append(DocumentJob(name, type(jobs[-1].generator)(**size), TRAINING_SEEDS[: between.documents]))
    return jobs


def prompt_words(question: str) -> list[str]:
    """The chat template, written out: the tokenizer would take a hundred times as long (`check_prompt` compares)."""
    return f"<|im_start|> user {question} <|im_end|> <|im_start|> assistant".split()


def encode(words: list[str]) -> list[int]:
    return [INDEX[word] for word in words]


def completion_words(problem: Problem) -> list[str]:
    return f"{problem.completion} <|im_end|>".split()


def check_prompt(tokenizer: PreTrainedTokenizerFast, generator: Generator) -> None:
    """Training must see the very tokens that a harness sends."""
    question = generator.problem(0).question
    chat = [{"role": "user", "content": question}]
    rendered = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    if rendered != encode(prompt_words(question)):
        raise ValueError(f"the chat template gives other tokens than training for {question!r}")


def make_rows(jobs: Iterable[DocumentJob], widths: list[int], num_workers: int) -> dict[str, list[Documents]]:
    """Of each task the documents that fit the first width together, then the second's, and so on."""
    pieces = [
        DocumentJob(job.task, job.generator, job.seeds[at : at + CHUNK]) for job in jobs for at in job.seeds[::CHUNK]
    ]
    with ProcessPoolExecutor(num_workers) as pool:
        parts = list(pool.map(partial(fill_rows, widths), pieces, chunksize=4))
    rows = {}
    for task in dict.fromkeys(piece.task for piece in pieces):
        of_task = [part for part, piece in zip(parts, pieces, strict=True) if piece.task == task]
        rows[task] = [_join(group) for group in zip(*of_task, strict=True)]
    return rows


def fill_rows(widths: list[int], job: DocumentJob) -> list[Documents]:
    documents: list[list[tuple[list[int], int]]] = [[] for _ in widths]
    for seed in job.seeds:
        problem = job.generator.problem(seed)
        prompt = prompt_words(problem.question)
        tokens = encode(prompt + completion_words(problem))
        fits = [place for place, width in enumerate(widths) if len(tokens) <= width]
        if not fits:
            raise ValueError(f"widths={widths}: {job.generator.name} seed {seed} has {len(tokens)} tokens")
        documents[fits[0]].append((tokens, len(prompt)))
    return [_pad(group, width) for group, width in zip(documents, widths, strict=True)]


def _pad(documents: list[tuple[list[int], int]], width: int) -> Documents:
    tokens = np.zeros((len(documents), width), np.uint8)
    for row, (document, _) in zip(tokens, documents, strict=True):
        row[: len(document)] = document
    starts = np.array([start for _, start in documents], np.int32)
    ends = np.array([len(document) for document, _ in documents], np.int32)
    return Documents(tokens=tokens, starts=starts, ends=ends)


def _join(parts: tuple[Documents, ...]) -> Documents:
    return Documents(
        tokens=np.concatenate([part.tokens for part in parts]),
        starts=np.concatenate([part.starts for part in parts]),
        ends=np.concatenate([part.ends for part in parts]),
    )
