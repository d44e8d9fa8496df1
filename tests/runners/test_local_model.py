"""The folder that stands in for Qwen3: its parts, and runs of it on real tasks by the command line."""

import json
import shutil
import sys

import pytest
from kvarena.runners.evaluate import main
from kvarena.runners.record import RunFolder
from transformers import AutoConfig, AutoTokenizer, GenerationConfig


@pytest.fixture
def evaluate(standin, tmp_path, monkeypatch, capsys):
    """evaluate(*overrides): two questions of one's own, 24 tokens each."""
    rows = [{"id": str(i), "problem": f"What is {i} + {i}? 数学", "answer": 2 * i} for i in range(2)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> RunFolder:
        small = ["max_tokens=24", "num_draws=2", "compression.tokens=40", "output_dir=run", "device=cpu"]
        model = [f"model.path={standin}", "model.dtype=float32", "method.budget.recent=8", "method.budget.interval=4"]
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


def test_penalties_are_keys_of_the_sampler(evaluate):
    run = evaluate("task=aime25", "sampler.no_repeat_ngram_size=2", "sampler.suppress_tokens=[5,7]")
    for record in run.records():
        pairs = list(zip(record.token_ids, record.token_ids[1:], strict=False))
        assert len(set(pairs)) == len(pairs)
        assert not {5, 7} & set(record.token_ids)
    assert run.run()["config"]["sampler"]["suppress_tokens"] == [5, 7]


def test_what_the_generation_config_asks_and_the_run_leaves_out_is_recorded(evaluate, standin, tmp_path):
    shutil.copytree(standin, tmp_path / "model")
    file = tmp_path / "model/generation_config.json"
    asks = {"repetition_penalty": 1.05, "no_repeat_ngram_size": 4}
    file.write_text(json.dumps(json.loads(file.read_text()) | asks))
    run = evaluate("task=aime25", "model.path=model", "sampler.no_repeat_ngram_size=4")
    assert run.run()["left_out"] == {"repetition_penalty": 1.05}


def test_what_the_tokenizer_makes_of_a_completion(standin):
    """A thought's marks stay in the text that is graded; a character cut in two does not break it."""
    tokenizer = AutoTokenizer.from_pretrained(standin)
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


def test_the_parts_are_those_of_qwen3(standin):
    tokenizer, model = AutoTokenizer.from_pretrained(standin), AutoConfig.from_pretrained(standin)
    generation = GenerationConfig.from_pretrained(standin)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    assert tokenizer.convert_tokens_to_ids(special) == [2048, 2049, 2050, 2072, 2073]  # Qwen3: 151643 and so on
    assert (model.architectures, model.vocab_size, model.head_dim) == (["Qwen3ForCausalLM"], 2176, 64)
    assert (model.num_attention_heads, model.num_key_value_heads) == (4, 2)
    assert (generation.eos_token_id, generation.pad_token_id) == ([2050, 2048], 2048)
    assert (generation.temperature, generation.top_k, generation.top_p) == (0.6, 20, 0.95)


@pytest.mark.parametrize("text", ["Größe, naïve, 数学 🙂", "\\boxed{\\frac{1}{2}}", "don't\n\n  def f(x):\n"])
def test_any_text_comes_back(standin, text):
    tokenizer = AutoTokenizer.from_pretrained(standin)
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


@pytest.mark.parametrize(
    ("switch", "ending"),
    [
        ({}, ""),
        ({"enable_thinking": True}, ""),
        ({"enable_thinking": False}, "<think>\n\n</think>\n\n"),
    ],
)
def test_the_chat_template_is_qwen3s(standin, switch, ending):
    tokenizer = AutoTokenizer.from_pretrained(standin)
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHo"},
        {"role": "user", "content": "What?"},
    ]
    assert tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, **switch) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
        f"<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\n{ending}"
    )
