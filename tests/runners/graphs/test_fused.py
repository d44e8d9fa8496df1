"""Projections of one input as one product, on every family."""

import pytest
import torch
from kvarena.methods.full import Full
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.graphs.decoder import forwards
from kvarena.runners.graphs.fused import FusedLayer, fuse
from kvarena.runners.sampler import Greedy
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    GraniteConfig,
    MixtralConfig,
    Olmo2Config,
    Phi3Config,
    SmolLM3Config,
)
from transformers.models.llama.modeling_llama import LlamaDecoderLayer


def test_a_fused_model_says_the_same(tiny_model):
    model = tiny_model()  # of its own: fusing changes it for good
    ids = torch.arange(1, 12)[None]
    with torch.inference_mode():
        expected = model(ids).logits
        parameters = sum(p.numel() for p in model.parameters())
        fuse(model)
        torch.testing.assert_close(model(ids).logits, expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert not any(isinstance(layer.self_attn.k_proj, nn.Linear) for layer in model.model.layers)


def test_one_product_for_each_group(tiny_model):
    model, calls = tiny_model(), []
    fuse(model)
    for name, module in model.named_modules():
        if name.endswith(("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")):
            module.register_forward_hook(lambda module, *_, name=name: calls.append((name, hasattr(module, "weight"))))
    with torch.inference_mode():
        model(torch.tensor([[1, 2, 3]]))
    assert [name.rsplit(".", 1)[1] for name, has_weight in calls if has_weight] == ["q_proj", "gate_proj"] * len(
        model.model.layers
    )


def test_fusing_twice_changes_nothing(tiny_model):
    model = tiny_model()
    fuse(model)
    first = model.model.layers[0].self_attn.q_proj
    fuse(model)
    assert model.model.layers[0].self_attn.q_proj is first


@pytest.mark.parametrize("missing", ["gate_proj"])
def test_a_layer_of_another_kind_is_left_alone(tiny_model, missing):
    model = tiny_model()
    delattr(model.model.layers[0].mlp, missing)
    fuse(model)
    assert isinstance(model.model.layers[0].mlp.up_proj, nn.Linear)


def decode(model, layers):
    decoder = Decoder(model=model, policy=Full(), sampler=Greedy(), max_tokens=12, longest_prompt=9, batch_size=2)
    step = decoder.step

    def fused() -> None:
        with forwards(layers):
            step()

    decoder.step = fused
    requests = [Request(str(i), 0, list(range(1 + i, 8 + i))) for i in range(3)]
    return {done.sample: done.token_ids for done in decoder.run(requests)}


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_fused_layers_choose_the_tokens_of_the_model(tiny_model, family):
    expected = decode(tiny_model(family), {})
    model = tiny_model(family)
    fuse(model)
    assert all(FusedLayer.of(layer) for layer in model.model.layers)
    assert decode(model, {layer: FusedLayer.of(layer) for layer in model.model.layers}) == expected


def test_a_layer_of_another_kind_keeps_its_own_code(tiny_model):
    model = tiny_model(hidden_act="gelu")
    assert FusedLayer.of(model.model.layers[0]) is None  # not fused yet
    fuse(model)
    assert FusedLayer.of(model.model.layers[0]) is None
    assert FusedLayer.of(nn.Linear(2, 2)) is None


@pytest.mark.parametrize(
    "config",
    [CohereConfig, GraniteConfig, MixtralConfig, Olmo2Config, Phi3Config, SmolLM3Config],
    ids=["cohere", "granite", "mixtral", "olmo2", "phi3", "smollm3"],
)
def test_layers_of_another_family_stay_as_they_are(config):
    sizes = dict(vocab_size=64, hidden_size=64, intermediate_size=32, num_hidden_layers=1, num_attention_heads=4)
    model = AutoModelForCausalLM.from_config(config(**sizes, num_key_value_heads=2, pad_token_id=0))
    before = [type(module) for module in model.modules()]
    fuse(model)
    assert [type(module) for module in model.modules()] == before
    assert [FusedLayer.of(layer) for layer in model.model.layers] == [None]


def test_a_layer_whose_code_was_changed_keeps_it(tiny_model):
    class Doubled(LlamaDecoderLayer):
        def forward(self, *arguments, **options):
            return 2 * super().forward(*arguments, **options)

    model = tiny_model("llama")
    model.model.layers[0].__class__ = Doubled
    fuse(model)
    assert [FusedLayer.of(layer) is None for layer in model.model.layers] == [True, False, False]


def test_an_attention_of_another_kind_is_left_alone(tiny_model):
    model = tiny_model("llama")
    model.model.layers[1].self_attn = nn.Identity()
    fuse(model)
    assert [FusedLayer.of(layer) is None for layer in model.model.layers] == [False, True, False]
