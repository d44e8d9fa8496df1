"""Root mean square norm in Triton against the twin in PyTorch."""

import pytest
import torch
from kvarena.kernels.norm import Norm, kernel, reference


@pytest.mark.parametrize("size", [(1, 16), (3, 100), (2, 5, 256), (4, 5120)], ids=str)
def test_normed(rng, device, dtype, size):
    x = torch.randn(*size, generator=rng).to(device, dtype)
    norm = Norm(torch.randn(size[-1], generator=rng).to(device, dtype), 1e-5)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(kernel.normed(x, norm), reference.normed(x, norm), rtol=tolerance, atol=tolerance)


def test_the_twin_by_hand():
    out = reference.normed(torch.tensor([[3.0, 4.0]]), Norm(torch.tensor([1.0, 10.0]), 0.0))
    torch.testing.assert_close(out, torch.tensor([[3.0, 40.0]]) / 12.5**0.5)
