"""The checkpoint in models/reasoner: what its tokenizer, lengths and card promise."""

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from kvarena.tasks.procedural.problems import EVALUATION_SEED
from kvarena.tasks.procedural.vocabulary import WORDS
from transformers import AutoModelForCausalLM, AutoTokenizer

NAMES = ("addition", "assignments", "coloring", "deduction", "graph_search", "sorting")
FOLDER = Path(str(files("kvarena.models") / "reasoner"))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


def render(tokenizer, question, **options):
    chat = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, **options)


def test_ids_are_the_places_in_the_vocabulary(tokenizer):
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))) == list(WORDS)


def test_decode_gives_back_the_words(tokenizer, task):
    problem = task.samples.generator.problem(EVALUATION_SEED)
    text = f"{problem.question}\n{problem.completion}  <|im_end|>"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=False) == " ".join(text.split())
    assert tokenizer.decode(ids, skip_special_tokens=True) == " ".join(text.split()[:-1])


def test_thinking_tokens_survive_the_skipping_of_special_ones(tokenizer):
    ids = tokenizer("<think>1</think>2<|im_end|>")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think> 1 </think> 2"


def test_the_chat_template_is_qwen3s(tokenizer):
    assert render(tokenizer, "1 : 2", tokenize=False) == ("<|im_start|>user\n1 : 2<|im_end|>\n<|im_start|>assistant\n")


def test_prompts_have_no_unknown_token(tokenizer, task):
    for sample in task.samples[:50]:
        words = f"<|im_start|> user {sample.question} <|im_end|> <|im_start|> assistant".split()
        ids = render(tokenizer, task.prompt(sample), return_dict=False)
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.convert_ids_to_tokens(ids) == words


def test_the_levels_lengths_are_those_measured(tokenizer, task):
    prompts, completions = [], []
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 128):
        problem = task.samples.generator.problem(seed)
        prompts.append(len(render(tokenizer, problem.question, return_dict=False)))
        completions.append(len(tokenizer(f"{problem.completion} <|im_end|>")["input_ids"]))
    mean = (sum(prompts) + sum(completions)) / 128
    assert task.dense_length == pytest.approx(mean, rel=0.04)
    assert 1.25 * max(completions) <= task.max_tokens <= 1.6 * max(completions)


def test_generation_ends_at_the_end_of_the_turn(tokenizer):
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.padding_side == "left"


def test_the_files_are_small():
    sizes = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    assert sum(sizes.values()) <= 20e6
    assert max(sizes.values()) <= 15e6


@pytest.mark.parametrize("name", NAMES)
def test_it_solves_a_problem_densely(tokenizer, load_task, name):
    task = load_task(name, "easy")
    sample = min(task.samples[:64], key=lambda sample: len(sample.target.split()))
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    prompt = render(tokenizer, task.prompt(sample), return_tensors="pt", return_dict=True)
    output = model.generate(**prompt, max_new_tokens=task.max_tokens)[0, prompt["input_ids"].shape[1] :]
    verdict = task.grader(tokenizer.decode(output, skip_special_tokens=True), sample.target, sample.meta)
    assert (verdict.score, verdict.note) == (1.0, "")
    assert output[-1] == model.generation_config.eos_token_id == tokenizer.eos_token_id
