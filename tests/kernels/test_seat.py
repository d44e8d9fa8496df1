"""Rows that begin with prompts, in Triton against the twin in PyTorch."""

import pytest
import torch
from kvarena.kernels.seat import kernel, reference


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16, torch.int32, torch.uint8])
@pytest.mark.parametrize(("size", "known"), [((70, 33), 64), ((3, 2, 16), 3), ((64,), 1)])
def test_rows_are_what_the_twin_makes_of_them(rng, device, kind, size, known):
    """Three of five rows, two of them of one prompt; the others stay, to the last number."""
    column, prompts = (
        torch.randint(1, 99, (rows, 2, *each), generator=rng).to(device, kind)
        for rows, each in ((5, size), (4, (known, *size[1:])))
    )
    rows, places = torch.tensor([4, 0, 3], device=device), torch.tensor([1, 3, 1], device=device)
    empty = -1 if kind in (torch.float32, torch.int32) else 0
    expected = column.clone()
    reference.seat(expected, prompts, rows, places, empty)
    kernel.seat(column, prompts, rows, places, empty)
    assert torch.equal(column, expected)
    assert torch.equal(column[4, :, :known], prompts[1])
    assert (column[3, :, known:] == empty).all()
