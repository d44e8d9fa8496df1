"""Problems of the reasoner's tasks with the completions that it was trained on, as requests."""

from data import completion_words, encode, load_task, prompt_words
from kvarena.runners.generate import Request


def trained_texts(task: str, level: str, seeds: range) -> list[Request]:
    generator = load_task(task, level).samples.generator
    problems = ((seed, generator.problem(seed)) for seed in seeds)
    return [
        Request(f"{generator.name}-{seed}", 0, encode(prompt_words(each.question)), encode(completion_words(each)))
        for seed, each in problems
    ]
