"""Projections of one input as one product, on every family."""

import pytest
import torch
from kvarena.runners.fused import fuse
from torch import nn


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
