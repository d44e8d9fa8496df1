import pytest
import torch
from kvarena.methods.magnitude import Norm, Range, Variance

VALUES = torch.tensor([[[[-2.0, 0, 5, 1], [3, 3, 3, 3]]]])


@pytest.mark.parametrize(
    ("magnitude", "expected"), [(Range(), [7, 0]), (Variance(), [8.6667, 0]), (Norm(), [5.4772, 6])]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_golden(magnitude, expected, dtype):
    found = magnitude(VALUES.to(dtype))
    assert found.dtype == torch.float32
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-4)
