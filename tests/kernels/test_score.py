"""What scores are made of, in Triton against the twin in PyTorch; the formulas are tested with the methods."""

import pytest
import torch
from kvarena.kernels.score import kernel, reference


@pytest.fixture
def make(rng, device):
    def build(*size, dtype=torch.float32):
        return torch.randn(*size, generator=rng).to(device, dtype)

    return build


@pytest.fixture
def some(rng, device):
    """A mask [..., n] with something in each line."""

    def build(*size):
        mask = torch.rand(*size, generator=rng) < 0.7
        mask[..., 0] = True
        return mask.to(device)

    return build


@pytest.mark.parametrize(
    ("groups", "window", "slots", "dim", "per_query"),
    [(1, 1, 1, 64, False), (5, 16, 63, 128, False), (2, 40, 300, 64, False), (4, 5, 130, 16, True)],
    ids=["one", "63", "300", "support_a_query"],
)
def test_mean_softmax(make, some, dtype, groups, window, slots, dim, per_query):
    queries, keys = make(2, 2, groups, window, dim, dtype=dtype), make(2, 2, slots, dim, dtype=dtype)
    support = some(2, 2, window if per_query else 1, slots)
    keys[0, 0][~support[0, 0].any(0)] = torch.nan
    score = kernel.mean_softmax(queries, keys, support)
    expected = reference.mean_softmax(queries, keys.nan_to_num(), support)
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-7)


def test_mean_softmax_of_a_row_does_not_depend_on_the_capacity(make, some):
    queries, keys, support = make(1, 1, 2, 8, 64), make(1, 1, 200, 64), some(1, 1, 1, 200)
    support[..., 100:] = False
    whole = kernel.mean_softmax(queries, keys, support)
    part = kernel.mean_softmax(queries, keys[:, :, :130], support[..., :130])
    assert torch.equal(whole[..., :130], part)


@pytest.mark.parametrize(("slots", "dim"), [(1, 64), (63, 128), (1000, 64)])
def test_mean_cosine(make, some, dtype, slots, dim):
    keys, support = make(1, 2, slots, dim, dtype=dtype), some(1, 2, slots)
    keys[~support] = torch.nan
    score = kernel.mean_cosine(keys, support)
    torch.testing.assert_close(score, reference.mean_cosine(keys.nan_to_num(), support), rtol=1e-4, atol=1e-6)


def test_mean_cosine_over_more_splits_than_are_joined_at_once(make, some, monkeypatch):
    monkeypatch.setattr(kernel, "SPLIT", 64)
    keys, support = make(1, 1, 64 * kernel.JOINED + 70, 16), some(1, 1, 64 * kernel.JOINED + 70)
    expected = reference.mean_cosine(keys, support)
    torch.testing.assert_close(kernel.mean_cosine(keys, support), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("slots", "dim", "rank"), [(1, 64, 20), (63, 128, 20), (200, 16, 3)])
def test_leverage(make, dtype, slots, dim, rank):
    keys, values = make(2, 2, slots, dim, dtype=dtype), make(2, 2, slots, dim, dtype=dtype)
    projection = make(2, 1, dim, rank)
    score = kernel.leverage(keys, values, projection)
    torch.testing.assert_close(score, reference.leverage(keys, values, projection), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("slots", "dim"), [(1, 64), (63, 48)])
def test_value_range(make, dtype, slots, dim):
    values = make(2, 3, slots, dim, dtype=dtype)
    assert torch.equal(kernel.value_range(values), reference.value_range(values))
