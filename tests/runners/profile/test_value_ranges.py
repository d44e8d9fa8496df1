import torch
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.runners.profile.value_ranges import top_share, value_ranges_of


def test_ranges_are_those_of_the_values_that_the_model_caches():
    model, tokens = build_tiny_model("qwen2"), list(range(1, 40))
    with torch.inference_mode():
        cached = model(input_ids=torch.tensor([tokens]), use_cache=True).past_key_values
    values = torch.stack([layer.values[0] for layer in cached.layers])
    expected = values.amax(-1) - values.amin(-1)
    torch.testing.assert_close(value_ranges_of(model, tokens).float(), expected, rtol=1e-4, atol=1e-5)


def test_the_share_of_the_largest():
    values = torch.tensor([[[1.0, 2.0, 3.0, 4.0]], [[5.0, 5.0, 5.0, 5.0]]])
    torch.testing.assert_close(top_share(values, 0.25), torch.tensor([0.4, 0.25]))
