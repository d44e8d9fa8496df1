import pytest
import torch
from kvarena.methods.full import Full
from kvarena.runners.cache import Shape
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.generate.watched import Placed
from kvarena.runners.model import (
    ATTENTION,
    decoder_layers,
    eos_ids,
    own_attention,
    plain_tokens,
    positions_of,
    shape_of,
)
from kvarena.runners.sampler import Greedy
from transformers import (
    AttentionInterface,
    Gemma4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MusicgenDecoderConfig,
    MusicgenForCausalLM,
    Qwen2Config,
    Qwen3Config,
    RwkvConfig,
    XLNetConfig,
)


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_greedy_tokens_are_those_of_transformers(tiny_model, family):
    model = tiny_model(family)
    prompts = [
        torch.randint(0, 64, (length,), generator=torch.Generator().manual_seed(length)) for length in (1, 9, 70)
    ]
    decoder = Decoder(model=model, policy=Full(), sampler=Greedy(), max_tokens=40, longest_prompt=70, batch_size=3)
    ours = {done.sample: done.token_ids for done in decoder.run(Request(str(len(p)), 0, p.tolist()) for p in prompts)}
    for prompt in prompts:
        ids = prompt[None]
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0
        )[0, len(prompt) :].tolist()
        assert len(set(theirs)) > 5
        assert ours[str(len(prompt))] == theirs


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_own_attention_is_on_only_inside(model, fails):
    before = model.config._attn_implementation
    assert before != ATTENTION
    try:
        with own_attention(model):
            assert model.config._attn_implementation == ATTENTION
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert model.config._attn_implementation == before


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (Qwen3Config(num_hidden_layers=5, num_attention_heads=8, num_key_value_heads=2, head_dim=128), (5, 2, 4, 128)),
        (LlamaConfig(num_hidden_layers=2, num_attention_heads=8, hidden_size=64), (2, 8, 1, 8)),
        (Qwen2Config(num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=3, hidden_size=96), (2, 3, 2, 16)),
        (MistralConfig(sliding_window=None, num_hidden_layers=2), (2, 8, 4, 128)),
    ],
    ids=["qwen3", "llama", "qwen2", "mistral"],
)
def test_shape(config, expected):
    assert shape_of(config) == Shape(*expected, width=config.hidden_size)


@pytest.mark.parametrize(
    "config",
    [
        Qwen3Config(num_hidden_layers=3, use_sliding_window=True, sliding_window=16, max_window_layers=1),
        MistralConfig(num_hidden_layers=3, sliding_window=16),
    ],
    ids=["layer_types", "one_window_for_all"],
)
def test_sliding_windows_are_refused(config):
    with pytest.raises(ValueError, match="sliding_attention"):
        shape_of(config)


@pytest.mark.parametrize(("ids", "expected"), [(7, {7}), ([7, 9], {7, 9})], ids=["one", "two"])
def test_eos_ids_are_those_of_the_generation_config(model, monkeypatch, ids, expected):
    monkeypatch.setattr(model.generation_config, "eos_token_id", ids)
    assert eos_ids(model) == expected


def test_a_model_without_eos_is_refused(model, monkeypatch):
    monkeypatch.setattr(model.generation_config, "eos_token_id", None)
    with pytest.raises(ValueError, match="eos_token_id"):
        eos_ids(model)


def test_a_config_without_heads_is_refused():
    with pytest.raises(ValueError, match="model rwkv has no attention heads alike in each layer"):
        shape_of(RwkvConfig())


def test_heads_that_differ_from_layer_to_layer_are_refused():
    config = Gemma4TextConfig(num_hidden_layers=2, layer_types=["full_attention"] * 2)
    with pytest.raises(ValueError, match=r"no attention heads alike in each layer \('head_dim' is a per-layer"):
        shape_of(config)


@pytest.mark.parametrize(
    ("config", "expected"),
    [(LlamaConfig(max_position_embeddings=96), 96), (XLNetConfig(), None)],
    ids=["llama", "xlnet"],
)
def test_positions_are_what_a_config_says(config, expected):
    assert positions_of(config) == expected


def test_tokens_of_several_vocabularies_are_no_text():
    sizes = dict(hidden_size=16, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=16)
    with pytest.raises(ValueError, match="its tokens come from no table of one vocabulary"):
        plain_tokens(MusicgenForCausalLM(MusicgenDecoderConfig(**sizes)), 3)


def test_a_small_vocabulary_gives_as_many_tokens():
    sizes = dict(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    tokens = plain_tokens(LlamaForCausalLM(LlamaConfig(**sizes)), 15).tolist()
    assert (len(tokens), min(tokens), max(tokens)) == (15, 3, 7)


def test_layers_are_where_they_are_looked_for(tiny_model):
    assert len(decoder_layers(tiny_model())) == 3


@pytest.mark.parametrize(("dropout", "refused"), [(0.0, False), (0.1, True)])
def test_dropout_may_come_by_its_place(model, dropout, refused):
    """As kvpress hands it on, whose import wraps all attention functions."""
    query = torch.randn(1, 4, 3, 16)
    module, seen = model.model.layers[1].self_attn, Placed()
    attend = AttentionInterface()[ATTENTION]
    if refused:
        with pytest.raises(ValueError, match=r"asks for dropout=0\.1"):
            attend(module, query, query[:, :2], query[:, :2], None, dropout, kv_cache=seen)
        return
    attend(module, query, query[:, :2], query[:, :2], None, dropout, kv_cache=seen)
    assert torch.equal(seen.tensors[0], query)
