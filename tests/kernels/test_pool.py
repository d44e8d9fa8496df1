"""Pooling over neighbours: the kernel without a sort against the sort; what is pooled is tested with the methods."""

import pytest
import torch
from kvarena.kernels.pool import kernel, reference


@pytest.mark.parametrize("pooling", ["mean", "highest"])
@pytest.mark.parametrize(
    ("slots", "window", "width", "longest", "words"),
    [
        (1, (), 5, 1, 4),
        (63, (3,), 3, 63, 4),
        (2500, (), 5, 9000, 64),
        (130, (), 7, 130, 2048),
        (40, (2,), 101, 500, 16),
    ],
    ids=["one", "no_gaps", "several_blocks", "more_words_than_places", "wider_than_the_line"],
)
def test_pooling_without_a_sort_is_that_of_the_sort(
    rng, device, monkeypatch, pooling, slots, window, width, longest, words
):
    monkeypatch.setattr(kernel, "WORDS", words)
    score = torch.rand(2, 2, *window, slots, generator=rng)
    order = torch.stack([torch.randperm(longest, generator=rng)[:slots] for _ in range(4)]).view(2, 2, slots).int()
    candidates = torch.rand(2, 2, slots, generator=rng) < 0.8
    candidates[1, 1] = False
    order[~candidates] = -1
    score.movedim(-1, 2)[~candidates] = torch.nan
    expected = getattr(reference, pooling)(score, order, candidates, width)
    given = (each.to(device) for each in (score, order, candidates))
    torch.testing.assert_close(kernel.pool(*given, width, most=pooling == "highest").cpu(), expected)
