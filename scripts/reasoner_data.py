"""Training documents of the reasoner: one problem a row from position 0 on, rows of like length together."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from kvarena.tasks.procedural.problems import TRAINING_SEEDS, Generator, Problem
from kvarena.tasks.procedural.vocabulary import WORDS
from transformers import PreTrainedTokenizerFast

INDEX = {word: index for index, word in enumerate(WORDS)}
CHUNK = 500  # problems a worker makes at a time


class Job(NamedTuple):
    generator: Generator
    seeds: range


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N documents of up to S tokens, padded at the end."""

    tokens: np.ndarray  # [N, S] uint8: the vocabulary has at most 256 words
    starts: np.ndarray  # [N] int32: tokens of the prompt, which bear no loss
    ends: np.ndarray  # [N] int32: tokens of the document


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


def make_rows(generators: dict[Generator, int], widths: list[int], num_workers: int) -> list[Rows]:
    """So many documents of each generator, those that fit the first width together, then the second's, and so on."""
    jobs = [
        Job(generator, TRAINING_SEEDS[first : min(first + CHUNK, count)])
        for generator, count in generators.items()
        for first in range(0, count, CHUNK)
    ]
    with ProcessPoolExecutor(num_workers) as pool:
        parts = list(pool.map(partial(_fill, widths), jobs))
    return [_join(group) for group in zip(*parts, strict=True)]


def _fill(widths: list[int], job: Job) -> list[Rows]:
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


def _pad(documents: list[tuple[list[int], int]], width: int) -> Rows:
    tokens = np.zeros((len(documents), width), np.uint8)
    for row, (document, _) in zip(tokens, documents, strict=True):
        row[: len(document)] = document
    starts = np.array([start for _, start in documents], np.int32)
    ends = np.array([len(document) for document, _ in documents], np.int32)
    return Rows(tokens=tokens, starts=starts, ends=ends)


def _join(parts: tuple[Rows, ...]) -> Rows:
    return Rows(
        tokens=np.concatenate([part.tokens for part in parts]),
        starts=np.concatenate([part.starts for part in parts]),
        ends=np.concatenate([part.ends for part in parts]),
    )
