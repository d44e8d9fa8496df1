"""The gate of an MLP in Triton against the twin in PyTorch, and the twin against numbers."""

import math

import pytest
import torch
from kvarena.kernels.gate import kernel, reference


@pytest.mark.parametrize(("rows", "size"), [(1, 8), (70, 1024), (3, 1500)])
def test_gate(rng, device, dtype, rows, size):
    both = (3 * torch.randn(rows, 2 * size, generator=rng)).to(device, dtype)
    allowed = {torch.float32: 1e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    torch.testing.assert_close(kernel.gate(both), reference.gate(both), rtol=allowed, atol=allowed)


def test_the_first_half_gates_the_second():
    found = reference.gate(torch.tensor([[0.0, 3.0, 5.0, 8.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 24 / (1 + math.exp(-3))]]))
