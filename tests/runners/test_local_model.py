"""A model folder in Hugging Face format with a byte-level BPE tokenizer, on a real task, by the command line."""

import json
import sys

import pytest
import torch
from kvarena.runners.evaluate import main
from kvarena.runners.record import RunFolder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<think>", "</think>"]  # text to Qwen3: they survive decoding
# a turn as Qwen3 writes it; with thinking off its answer starts with an empty thought
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
TEXTS = ["What is the sum of the first n odd numbers?", "Größe, naïve, 数学 🙂", "\\boxed{\\frac{1}{2}}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(TEXTS * 4, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL[1:2]})
    tokenizer.add_tokens(MARKS)
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=48,
        max_position_embeddings=40960,
    )
    model = Qwen3ForCausalLM(config)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=ends[1])
    model.save_pretrained(path)
    return path


@pytest.fixture
def evaluate(folder, tmp_path, monkeypatch, capsys):
    """evaluate(*overrides): two questions of one's own, 24 tokens each."""
    rows = [{"id": str(i), "problem": f"What is {i} + {i}? 数学", "answer": 2 * i} for i in range(2)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> RunFolder:
        small = ["max_tokens=24", "num_draws=2", "compression.tokens=40", "output_dir=run", "device=cpu"]
        model = [f"model.path={folder}", "model.dtype=float32", "method.budget.recent=8", "method.budget.interval=4"]
        monkeypatch.setattr(sys, "argv", ["kvarena", "task.path=mine.jsonl", *small, *model, *overrides])
        main()
        return RunFolder(path=tmp_path / "run")

    return run


@pytest.mark.parametrize("model", ["qwen3_4b", "r1_distill_llama_8b"])
def test_a_run_on_a_real_task(evaluate, model):
    run = evaluate("task=aime25", f"model={model}")
    records, header = run.records(), run.run()
    assert [record.key for record in sorted(records, key=lambda r: r.key)] == [("0", 0), ("0", 1), ("1", 0), ("1", 1)]
    assert {record.target for record in records} == {"0", "2"}
    assert all(record.num_tokens <= 24 and record.score == 0 and record.second_opinion == 0 for record in records)
    assert all(record.note == "no \\boxed answer" for record in records)
    assert any(record.num_evictions for record in records)
    assert len({tuple(record.token_ids) for record in records}) == 4
    assert (header["labels"]["model"], header["data_commits"], header["option_orders"]) == (model, {}, {})
    assert header["config"]["sampler"]["top_k"] == 20


def test_what_the_tokenizer_makes_of_a_completion(folder):
    """A thought's marks stay in the text that is graded; a character cut in two does not break it."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    ids = tokenizer("<think>x</think>数<|im_end|>", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>x</think>数"
    assert tokenizer.decode(ids[:-2], skip_special_tokens=True) == "<think>x</think>\N{REPLACEMENT CHARACTER}"


def test_the_order_of_options_is_recorded(evaluate, tmp_path):
    question = "Which?\n\nA. one\nB. two\nC. three\nD. four\n\nPut the letter in \\boxed{}."
    (tmp_path / "mine.jsonl").write_text(json.dumps({"id": 5, "question": question, "answer": "A"}))
    run = evaluate("task=gpqa_diamond", "model=qwen3_0_6b", "num_draws=1")
    (record,) = run.records()
    order = run.run()["option_orders"]["5"]
    assert order.index("A") == "ABCD".index(record.target)
