import math

import pytest
import torch
from kvarena.kernels import pages
from kvarena.kernels.pages import kernel

INF, NAN = math.inf, math.nan
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def score(query, page_min, page_max, *, per_query_head=True):
    """Of pages that are all live."""
    lengths = torch.full(query.shape[:2], page_min.shape[2], dtype=torch.int32)
    return pages.score(query, page_min, page_max, lengths, page=1, per_query_head=per_query_head)


@pytest.mark.parametrize(
    ("query", "expected"), [((2.0, 1.0), 5.0), ((-1.0, 2.0), 7.0)], ids=["positive", "mixed_signs"]
)
def test_golden_bound(query, expected):
    """One page of keys (1, -2) and (-1, 3)."""
    low, high = pages.bounds(torch.tensor([[[[1.0, -2.0], [-1.0, 3.0]]]]), 2)
    assert (low.tolist(), high.tolist()) == ([[[[-1.0, -2.0]]]], [[[[1.0, 3.0]]]])
    assert score(torch.tensor([[[query]]]), low, high).item() == expected


def test_score_bounds_every_logit_of_the_page(rng):
    query = torch.randn(2, 3, 4, 8, generator=rng)
    keys = torch.randn(2, 3, 21, 8, generator=rng)
    bound = score(query, *pages.bounds(keys, 5))
    assert bound.shape == (2, 3, 4, 5)
    logits = query @ keys.mT
    for page in range(5):
        assert (logits[..., 5 * page : 5 * page + 5] <= bound[..., page : page + 1] + 1e-5).all()


def test_score_equals_the_sign_form_of_the_authors(rng):
    """Keys times sign(q), page maximum, dot |q|."""
    query, keys = torch.randn(1, 1, 1, 8, generator=rng), torch.randn(1, 1, 20, 8, generator=rng)
    signed = (keys * query[:, :, 0, None].sign()).view(1, 1, 4, 5, 8).amax(3)
    torch.testing.assert_close(score(query, *pages.bounds(keys, 5))[:, :, 0], (signed * query.abs()).sum(-1))


def test_page_of_one_token_gives_the_logit(rng):
    query, keys = torch.randn(2, 2, 3, 8, generator=rng), torch.randn(2, 2, 6, 8, generator=rng)
    torch.testing.assert_close(score(query, *pages.bounds(keys, 1)), query @ keys.mT)


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


def test_group_takes_its_largest_bound_and_dead_pages_promise_nothing():
    """Queries 1 and -2 on pages of one key 8, -1, -3: bounds 8, -1, -3 and -16, 2, 6; of five slots two a page."""
    keys, query = torch.tensor([8.0, -1, -3, 99]).view(1, 1, 4, 1), torch.tensor([1.0, -2]).view(1, 1, 2, 1)
    lengths = torch.tensor([[5]], dtype=torch.int32)
    one = pages.score(query, keys, keys, lengths, page=2, per_query_head=False)
    each = pages.score(query, keys, keys, lengths, page=2, per_query_head=True)
    assert one.tolist() == [[[8, 2, 6, -INF]]]
    assert each.tolist() == [[[[8, -1, -3, -INF], [-16, 2, 6, -INF]]]]


@pytest.mark.parametrize(
    ("scores", "num_pages", "count", "expected"),
    [
        ((5, 1, 4, 2, 3), 5, 3, [0, 2, 4]),
        ((5, 1, 4, 2, 3), 5, 1, [4]),
        ((1, 5, 4, 9, 9), 3, 2, [1, 2]),
        ((1, 5, 4, 9, 9), 1, 3, [0, -1, -1]),
        ((1, 5, 4, 9, 9), 0, 2, [0, -1]),
        ((1, 5, 4, 9, 9), 5, 8, [0, 1, 2, 3, 4]),
        ((2, 7, 7, 7, 1), 5, 3, [1, 2, 4]),
        ((-0.0, 0, -0.0, 0, 5), 5, 3, [0, 1, 4]),
        ((-INF, -INF, -3e38, -INF, -INF), 5, 3, [0, 2, 4]),
        ((1, INF, 3e38, INF, -INF), 5, 3, [1, 3, 4]),
        ((1, 3e38, NAN, -NAN, 1), 5, 3, [2, 3, 4]),
        ((NAN, NAN, NAN, NAN, NAN), 4, 2, [0, 3]),
    ],
    ids=[
        "last_always",
        "last_alone",
        "beyond_num_pages_never",
        "padded",
        "idle_row",
        "all",
        "ties_lower_page",
        "signed_zeros_tie",
        "minus_inf_last",
        "inf_first",
        "nan_first",
        "nan_not_before_the_last",
    ],
)
def test_top(scores, num_pages, count, expected):
    """Pages of two slots, the last one half full."""
    row = torch.tensor([[scores]], dtype=torch.float32), torch.tensor([[max(0, 2 * num_pages - 1)]], dtype=torch.int32)
    chosen = pages.top(*row, page=2, count=count)
    assert chosen.dtype == torch.int32
    assert chosen.flatten().tolist() == expected
    assert kernel.top(*(part.to(DEVICE) for part in row), 2, count).flatten().tolist() == expected


def test_products_by_sign_are_the_score(rng):
    query, low, high = torch.randn(3, 1, 2, 4, 8, generator=rng).unbind()
    lengths = torch.full((1, 2), 4, dtype=torch.int32)
    split = query.clamp(max=0), query.clamp(min=0)
    assert torch.equal(pages.products(*split, low, high, lengths, page=1), score(query, low, high))


def test_live_bounds_of_what_a_round_left():
    """Two of five slots are live in one head, four in the other; pages of two."""
    keys = torch.tensor([[[3.0, -1, 9, 9, 9], [3, -1, 2, 5, 9]]])[..., None]
    low, high = pages.live_bounds(keys, torch.tensor([[2, 4]], dtype=torch.int32), page=2)
    assert low.flatten(2).tolist() == [[[-1, 0, 0], [-1, 2, 0]]]
    assert high.flatten(2).tolist() == [[[3, 0, 0], [3, 5, 0]]]
