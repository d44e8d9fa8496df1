"""Products of a decode step in Triton against the twin in PyTorch, and the twin against a model's own modules."""

import math

import pytest
import torch
from kvarena.kernels.linear import kernel, reference

TOLERANCE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 2e-2}


@pytest.fixture
def make(rng, device):
    def build(*size, dtype, scale=1.0):
        return (scale * torch.randn(*size, generator=rng)).to(device, dtype)

    return build


def close(actual, expected):
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


SPLIT = (1, 64, 64), (3, 100, 130), (16, 256, 40), (30, 64, 96), (32, 40, 70), (50, 300, 70)
WHOLE = 17, 192, 5200  # enough outputs that its inputs are not split
PARTS = "", "bias", "residual", "bias residual"


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs", "parts"),
    [*((*sizes, parts) for sizes in SPLIT for parts in PARTS), (*WHOLE, "bias residual")],
)
def test_linear(make, dtype, rows, inputs, outputs, parts):
    x, weight = make(rows, inputs, dtype=dtype), make(outputs, inputs, dtype=dtype, scale=inputs**-0.5)
    bias = make(outputs, dtype=dtype) if "bias" in parts else None
    residual = make(rows, outputs, dtype=dtype) if "residual" in parts else None
    expected = reference.linear(x, weight, bias, residual)
    for _ in range(2):  # the counters of a split product are zero again
        close(kernel.linear(x, weight, bias, residual), expected)


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"), [(1, 64, 32), (5, 100, 45), (16, 256, 96), (50, 64, 70)], ids=str
)
def test_gated(make, dtype, rows, inputs, outputs):
    x, weight = make(rows, inputs, dtype=dtype), make(2 * outputs, inputs, dtype=dtype, scale=inputs**-0.5)
    close(kernel.gated(x, weight), reference.gated(x, weight))


def test_a_row_does_not_depend_on_its_neighbours(make):
    x, weight = make(9, 96, dtype=torch.float32), make(70, 96, dtype=torch.float32)
    alone = torch.zeros_like(x)
    alone[4] = x[4]
    x[0] = torch.nan
    assert torch.equal(kernel.linear(x, weight, None, None)[4], kernel.linear(alone, weight, None, None)[4])


def test_the_twin_by_hand():
    x, weight = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert reference.linear(x, weight, torch.tensor([1.0, 1.0]), torch.tensor([[0.5, 0.5]])).tolist() == [[4.5, 9.5]]
    torch.testing.assert_close(reference.gated(x, weight), torch.tensor([[24 / (1 + math.exp(-3))]]))
