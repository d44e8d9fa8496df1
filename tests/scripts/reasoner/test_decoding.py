"""The evaluation's decoder against `generate` of transformers."""

from pathlib import Path

import pytest
import torch

PROMPTS = [[5, 6, 7], [9, 8, 7, 6, 5, 4, 3, 2, 1], [11], [3, 3, 3, 12]]


@pytest.fixture
def decoding(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/reasoner"))
    import decoding

    monkeypatch.setattr(decoding, "STEPS", 8)
    monkeypatch.setattr(decoding, "PREFILL_ROWS", 3)
    return decoding


def reference(model, prompt, num_tokens):
    output = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)), max_new_tokens=num_tokens
    )
    return output[0, len(prompt) :].tolist()


def test_rows_of_unlike_length_agree_with_generate(decoding, model):
    limits = [30, 5, 16, 41]
    completions = decoding.decode_dense(model, PROMPTS, limits)
    assert completions == [reference(model, *pair) for pair in zip(PROMPTS, limits, strict=True)]


def test_a_row_ends_before_its_end_token(decoding, tiny_model):
    model = tiny_model()
    whole = reference(model, PROMPTS[0], 30)
    model.generation_config.eos_token_id = whole[11]
    place = whole.index(whole[11])
    assert decoding.decode_dense(model, PROMPTS[:1], [30]) == [whole[:place]]
