"""Norm and rotation of heads in Triton against the twin in PyTorch."""

import pytest
import torch
from kvarena.kernels.norm import Norm
from kvarena.kernels.rotate import kernel, reference


@pytest.mark.parametrize(("rows", "heads", "dim"), [(1, (1, 1), 16), (3, (10, 2), 64), (2, (8, 8), 128)], ids=str)
@pytest.mark.parametrize("with_norm", [False, True])
def test_rotate(rng, device, dtype, rows, heads, dim, with_norm):
    def make(*size):
        return torch.randn(*size, generator=rng).to(device, dtype)

    angle = torch.rand(rows, dim // 2, generator=rng).repeat(1, 2).mul(6).to(device)
    cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
    norms = [Norm(make(dim), 1e-6) if with_norm else None for _ in range(2)]
    joined = make(rows, (heads[0] + 2 * heads[1]) * dim)
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for ours, twin in zip(
        kernel.rotate(joined, cos, sin, heads, *norms), reference.rotate(joined, cos, sin, heads, *norms), strict=True
    ):
        torch.testing.assert_close(ours, twin, rtol=tolerance, atol=tolerance)


def test_a_quarter_turn_by_hand():
    joined = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])  # a query, a key and a value of two channels
    zero, one = torch.zeros(1, 2), torch.ones(1, 2)
    query, key, value = reference.rotate(joined, zero, one, (1, 1), None, Norm(torch.tensor([2.0, 2.0]), 0.0))
    assert query.tolist() == [[[-2.0, 1.0]]]
    torch.testing.assert_close(key, torch.tensor([[[-8.0, 6.0]]]) / 12.5**0.5)
    assert value.tolist() == [[[5.0, 6.0]]]
