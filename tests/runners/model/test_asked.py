import pytest
from kvarena.runners.model import Checkpoint, left_out
from transformers import GenerationConfig


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    tiny_model().save_pretrained(tmp_path)
    return Checkpoint(name="tiny", path=str(tmp_path))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # Qwen2.5-7B-Instruct's
        (
            dict(do_sample=True, repetition_penalty=1.05, temperature=0.7, top_k=20, top_p=0.8),
            {"repetition_penalty": 1.05},
        ),
        (dict(do_sample=True, temperature=0.6, top_k=20, top_p=0.95), {}),
        (
            dict(no_repeat_ngram_size=3, suppress_tokens=[1, 2], min_length=5),
            {"no_repeat_ngram_size": 3, "suppress_tokens": [1, 2], "min_length": 5},
        ),
        (dict(repetition_penalty=1.0, no_repeat_ngram_size=0, num_beams=1), {}),
    ],
    ids=["qwen2.5", "qwen3", "several", "neutral"],
)
def test_what_a_generation_config_asks(checkpoint, config, expected):
    GenerationConfig(**config).save_pretrained(checkpoint.path)
    assert checkpoint.asks() == expected


def test_without_a_generation_config_nothing_is_asked(checkpoint, tmp_path):
    (tmp_path / "generation_config.json").unlink()
    assert checkpoint.asks() == {}


def test_what_the_sampler_does_is_not_left_out():
    asks = {"repetition_penalty": 1.05, "suppress_tokens": [3], "min_length": 4}
    sampler = {"repetition_penalty": 1.05, "suppress_tokens": []}
    assert left_out(asks, sampler) == {"suppress_tokens": [3], "min_length": 4}
    assert left_out(asks, {}) == asks
