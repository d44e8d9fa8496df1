import pytest
import torch
from kvarena.kernels import pages


@pytest.mark.parametrize(
    ("query", "expected"), [((2.0, 1.0), 5.0), ((-1.0, 2.0), 7.0)], ids=["positive", "mixed_signs"]
)
def test_golden_bound(query, expected):
    """One page of keys (1, -2) and (-1, 3)."""
    low, high = pages.bounds(torch.tensor([[[[1.0, -2.0], [-1.0, 3.0]]]]), 2)
    assert (low.tolist(), high.tolist()) == ([[[[-1.0, -2.0]]]], [[[[1.0, 3.0]]]])
    assert pages.score(torch.tensor([[[query]]]), low, high).item() == expected


def test_score_bounds_every_logit_of_the_page(rng):
    query = torch.randn(2, 3, 4, 8, generator=rng)
    keys = torch.randn(2, 3, 21, 8, generator=rng)
    score = pages.score(query, *pages.bounds(keys, 5))
    assert score.shape == (2, 3, 4, 5)
    logits = query @ keys.mT
    for page in range(5):
        assert (logits[..., 5 * page : 5 * page + 5] <= score[..., page : page + 1] + 1e-5).all()


def test_score_equals_the_sign_form_of_the_authors(rng):
    """Keys times sign(q), page maximum, dot |q|."""
    query, keys = torch.randn(1, 1, 1, 8, generator=rng), torch.randn(1, 1, 20, 8, generator=rng)
    signed = (keys * query[:, :, 0, None].sign()).view(1, 1, 4, 5, 8).amax(3)
    torch.testing.assert_close(pages.score(query, *pages.bounds(keys, 5))[:, :, 0], (signed * query.abs()).sum(-1))


def test_page_of_one_token_gives_the_logit(rng):
    query, keys = torch.randn(2, 2, 3, 8, generator=rng), torch.randn(2, 2, 6, 8, generator=rng)
    torch.testing.assert_close(pages.score(query, *pages.bounds(keys, 1)), query @ keys.mT)


@pytest.mark.parametrize("prompt", [0, 3, 4, 5])
def test_extending_token_by_token_equals_bounds_of_all(rng, prompt):
    keys = torch.randn(2, 2, 14, 8, generator=rng)
    # what a longer sequence left in the row does not matter
    low, high = torch.full((2, 2, 4, 8), -1e3), torch.full((2, 2, 4, 8), 1e3)
    if prompt:
        for bound, first in zip((low, high), pages.bounds(keys[:, :, :prompt], 4), strict=True):
            bound[:, :, : first.shape[2]] = first
    for slot in range(prompt, 14):
        pages.extend(low, high, keys[:, :, slot], torch.full((2, 2), slot), 4)
    expected = [keys[:, :, start : start + 4] for start in (0, 4, 8, 12)]
    assert torch.equal(low, torch.stack([part.amin(2) for part in expected], 2))
    assert torch.equal(high, torch.stack([part.amax(2) for part in expected], 2))


def test_rows_extend_at_slots_of_their_own():
    low, high = torch.zeros(2, 2, 1, 3, 1)
    key = torch.tensor([[[5.0]], [[-7.0]]])
    pages.extend(low, high, key, torch.tensor([[4], [1]]), 2)
    assert low.flatten(1).tolist() == [[0, 0, 5], [-7, 0, 0]]
    assert high.flatten(1).tolist() == [[0, 0, 5], [0, 0, 0]]


@pytest.mark.parametrize(
    ("scores", "num_pages", "count", "expected"),
    [
        ((5, 1, 4, 2, 3), 5, 3, {0, 2, 4}),
        ((5, 1, 4, 2, 3), 5, 1, {4}),
        ((1, 5, 4, 9, 9), 3, 2, {1, 2}),
        ((1, 5, 4, 9, 9), 1, 3, {0, -1}),
        ((1, 5, 4, 9, 9), 5, 8, {0, 1, 2, 3, 4}),
    ],
    ids=["last_always", "last_alone", "beyond_num_pages_never", "padded", "all"],
)
def test_top(scores, num_pages, count, expected):
    chosen = pages.top(torch.tensor([[scores]], dtype=torch.float32), torch.tensor([[num_pages]]), count)
    assert chosen.dtype == torch.int32
    assert chosen.shape[-1] == min(count, len(scores))
    assert set(chosen.flatten().tolist()) == expected
    assert (chosen >= 0).sum() == min(count, num_pages)
