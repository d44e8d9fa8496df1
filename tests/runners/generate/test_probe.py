"""A model is run as transformers runs it, or refused in one line before any row."""

from contextlib import nullcontext

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.expected_attention import ExpectedAttention
from kvarena.methods.full import Full
from kvarena.methods.oracle import Oracle
from kvarena.methods.scores import turned
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.weight import ByOutput
from kvarena.runners.attention import Own
from kvarena.runners.cache import Shape
from kvarena.runners.generate import Decoder
from kvarena.runners.generate.probe import Probe
from kvarena.runners.generate.watched import Placed
from kvarena.runners.model import forward, own_attention
from kvarena.runners.sampler import Greedy
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    DeepseekV2Config,
    FalconConfig,
    GlmConfig,
    GraniteConfig,
    LlamaConfig,
    PhimoeConfig,
    RobertaConfig,
    StableLmConfig,
    VaultGemmaConfig,
)

SIZES = dict(vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0, eos_token_id=1)
LLAMA = SIZES | dict(num_key_value_heads=2, intermediate_size=96, max_position_embeddings=512)
BART = dict(
    vocab_size=64, d_model=64, decoder_layers=2, encoder_layers=2, decoder_attention_heads=4, encoder_attention_heads=4
)
LONGROPE = dict(
    rope_type="longrope",
    short_factor=[1.0] * 8,
    long_factor=[1.0 + i for i in range(8)],
    original_max_position_embeddings=64,
)


def random(config) -> nn.Module:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def decoder(model, policy=None, **changes) -> Decoder:
    options = dict(sampler=Greedy(), max_tokens=20, longest_prompt=20, batch_size=3)
    return Decoder(model=model, policy=policy or Full(), **(options | changes))


def refused(model, **changes) -> str:
    with pytest.raises(ValueError, match="cannot run here") as error:
        decoder(model, **changes)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_usual_model_scales_by_the_root_of_its_channels(tiny_model, family, batch_size):
    layers = decoder(tiny_model(family), batch_size=batch_size).cache.layers
    assert [layer.known.scaling for layer in layers] == [0.25] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_taken(tiny_model, dtype):
    decoder(tiny_model().to(dtype))


def test_scores_and_selections_use_the_scale_that_the_model_attends_with():
    run = decoder(random(GraniteConfig(**LLAMA, attention_multiplier=0.7)), Oracle(budget=Budget(tokens=30, recent=4)))
    assert [layer.known.scaling for layer in run.cache.layers] == [0.7, 0.7]
    assert run.cache.view(1, run.cache.facts()).scale == 0.7
    assert run.cache._reading(1, run.cache.layers[1].lengths).scale == 0.7


WEIGHED = SnapKV(budget=Budget(tokens=30, recent=4), weight=ByOutput())


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_a_view_shows_the_output_projection(tiny_model, family):
    """Over heads, what each adds is what the layer makes of all of them."""
    model = tiny_model(family)
    run = decoder(model, WEIGHED)
    weight = run.cache.view(1, run.cache.facts()).output_weight
    output = torch.randn(2, 2, 16)  # of each query head
    whole = torch.nn.functional.linear(output.flatten(), model.model.layers[1].self_attn.o_proj.weight)
    torch.testing.assert_close(torch.einsum("hgd,hgde->e", output, weight), whole)
    assert not decoder(model, SnapKV(budget=WEIGHED.budget)).cache.layers[1].known.output_weight.numel()


def test_an_output_projection_that_is_not_there_is_asked_for_in_vain():
    with pytest.raises(
        ValueError, match="SnapKV weighs values by the output projection: no output projection"
    ) as error:
        decoder(random(FalconConfig(**SIZES)), WEIGHED)
    assert str(error.value).endswith("in a model falcon; use method.weight._target_=kvarena.methods.weight.Unweighted")


EXPECTED = ExpectedAttention(budget=Budget(tokens=30, recent=4))


@pytest.mark.parametrize(
    "scaling", [None, {"rope_type": "linear", "factor": 4.0}, {"rope_type": "yarn", "factor": 4.0}], ids=str
)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_a_view_shows_how_fast_positions_turn(scaling, half):
    """Queries of the last layer at position 37, turned back, are those at 0."""
    model = random(LlamaConfig(**LLAMA, rope_scaling=scaling))
    model = model.to(torch.bfloat16) if half else model
    run = decoder(model, EXPECTED)
    angles = run.cache.view(1, run.cache.facts()).frequencies
    assert angles.shape == (8,)
    assert len(angles.unique()) == 8
    seen = Placed()
    with own_attention(model), torch.inference_mode():
        forward(model, torch.tensor([[7], [7]]), torch.tensor([[0], [37]]), seen)
    start, there = seen.tensors[2][:, :, 0].float()
    tolerance = dict(rtol=0.03, atol=0.03) if half else dict(rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(turned(there, (37 * angles).cos(), -(37 * angles).sin()), start, **tolerance)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            GlmConfig(**LLAMA, head_dim=16, partial_rotary_factor=1.0),
            "layer 0 of a model glm turns them otherwise than in",
        ),
        (StableLmConfig(**LLAMA), "no model.rotary_emb.inv_freq of 8 pairs in a model stablelm"),
        (FalconConfig(**SIZES), "no model.rotary_emb.inv_freq of 8 pairs in a model falcon"),
    ],
    ids=lambda each: each.model_type if not isinstance(each, str) else "",
)
def test_a_rotation_of_another_kind_is_no_ground_for_expectations(config, reason):
    with pytest.raises(ValueError, match=f"ExpectedAttention turns queries by their positions: {reason}"):
        decoder(random(config), EXPECTED)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (FalconConfig(**SIZES), "its layers do not attend by AttentionInterface"),
        (
            VaultGemmaConfig(**LLAMA, head_dim=16, layer_types=["full_attention"] * 2),
            "its attention asks for softcap=50.0",
        ),
        (BartConfig(**BART), "does not place a token by its position_ids"),
        (RobertaConfig(**SIZES, is_decoder=True, max_position_embeddings=99), "its positions do not count from 0"),
        (LlamaConfig(**LLAMA, is_causal=False), "a token at position 0 sees the one at 1"),
        (
            DeepseekV2Config(
                **LLAMA,
                kv_lora_rank=16,
                q_lora_rank=16,
                qk_rope_head_dim=8,
                qk_nope_head_dim=8,
                v_head_dim=8,
                first_k_dense_replace=2,
            ),
            "nor in transformers alone: its code ends in RuntimeError",
        ),
    ],
    ids=["falcon", "softcap", "bart", "roberta", "bidirectional", "mla"],
)
def test_a_family_that_does_otherwise_is_refused(config, reason):
    assert reason in refused(random(config))


def test_a_window_longer_than_what_is_asked_is_seen():
    """Which its config does not tell as a rule."""
    model = random(PhimoeConfig(**LLAMA, sliding_window=4096, num_local_experts=2, num_experts_per_tok=1))
    probe = Probe(model=model, shape=Shape(2, 2, 2, 16), batch_size=2, longest=64, attention=Own())
    with pytest.raises(ValueError, match="a token at position 10000 does not see the one at 0"):
        probe.scales(nullcontext)


class Wrapped(nn.Module):
    """An attention of a model, called otherwise."""

    def __init__(self, inner: nn.Module, calls: int = 1, **extra) -> None:
        super().__init__()
        self.inner, self.calls, self.extra = inner, calls, extra

    def forward(self, *arguments, **options):
        for _ in range(self.calls):
            output = self.inner(*arguments, **(options | self.extra))
        return output


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(calls=2), "not each of its 3 layers attends once"),
        (dict(calls=1, softcap=30.0), "its attention asks for softcap=30.0"),
        (dict(s_aux=torch.zeros(4)), "its attention asks for s_aux=a tensor [4]"),
        (dict(position_bias=torch.zeros(1)), "its attention asks for position_bias=a tensor [1]"),
        (dict(is_causal=False), "its attention asks for is_causal=False"),
        (dict(attention_mask=torch.zeros(1, 1, 1, 1)), "its attention asks for attention_mask=a tensor"),
    ],
    ids=["twice", "softcap", "sinks", "bias", "bidirectional", "mask"],
)
def test_what_our_attention_does_not_honour_is_refused(tiny_model, change, reason):
    model = tiny_model("llama")
    model.set_attn_implementation("eager")  # which takes any keyword
    for layer in model.model.layers:
        layer.self_attn = Wrapped(layer.self_attn, **change)
    assert reason in refused(model)


def test_keywords_that_say_nothing_pass(tiny_model):
    model = tiny_model("qwen2")
    for layer in model.model.layers:
        layer.self_attn = Wrapped(layer.self_attn, softcap=None, s_aux=None, output_attentions=False, is_causal=True)
    decoder(model)


def test_a_layer_that_is_skipped_is_refused(tiny_model):
    model = tiny_model("llama")
    model.model.layers[1].self_attn.layer_idx = 0
    assert "not each of its 3 layers attends once" in refused(model)


def test_another_shape_than_the_config_says_is_refused(tiny_model):
    model = tiny_model("llama")
    model.config.num_key_value_heads = 4
    assert "layer 0 has 4 query and 2 KV heads of 16, its config says 4 and 4 of 16" in refused(model)


def test_a_model_under_training_is_refused(tiny_model):
    assert "dropout=0.5" in refused(tiny_model("llama", attention_dropout=0.5).train())


def test_logits_that_are_not_those_of_transformers_are_refused(tiny_model):
    """A memory of its own, past our cache: a step is not what the whole sequence makes of the token."""
    model = tiny_model("llama")
    mixed = lambda module, inputs, output: output + 0.05 * output.cumsum(1)  # noqa: E731
    model.model.embed_tokens.register_forward_hook(mixed)
    assert "off those of transformers" in refused(model)


def test_a_rotation_by_the_longest_row_is_taken_as_far_as_it_is_one_by_position():
    model = random(LlamaConfig(**LLAMA, rope_scaling=LONGROPE))
    decoder(model, longest_prompt=44)
    before = model.model.rotary_emb.inv_freq.clone()
    assert "a token at position 5 is turned otherwise beside a row at 64" in refused(model, longest_prompt=45)
    assert torch.equal(model.model.rotary_emb.inv_freq, before)
    decoder(model, longest_prompt=44)


def test_nothing_of_it_stays(model):
    before, noise = model.config._attn_implementation, torch.get_rng_state()
    weights = [parameter.clone() for parameter in model.parameters()]
    run = decoder(model)
    assert model.config._attn_implementation == before
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(torch.equal(one, other) for one, other in zip(weights, model.parameters(), strict=True))
    assert not any(column.any() for column in (run.cache.layers[0].keys, run.cache.layers[0].lengths))


def test_a_model_that_rules_out_tokens_is_taken(tiny_model):
    model = tiny_model()
    ruled_out = lambda module, inputs, output: output.index_fill(-1, torch.tensor([3, 9]), -torch.inf)  # noqa: E731
    model.lm_head.register_forward_hook(ruled_out)
    decoder(model)


def test_memory_that_runs_out_is_no_fault_of_the_model(tiny_model):
    model = tiny_model()

    def full(*unused):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model.model.layers[1].register_forward_hook(full)
    with pytest.raises(torch.OutOfMemoryError):
        decoder(model)


def test_attention_stays_as_it_was_where_a_model_is_refused():
    model = random(FalconConfig(**SIZES))
    before = model.config._attn_implementation
    with pytest.raises(ValueError, match="AttentionInterface"), own_attention(model):
        pass
    assert model.config._attn_implementation == before
