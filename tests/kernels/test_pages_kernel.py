"""The Triton kernels of the pages against their twins in PyTorch."""

import math

import pytest
import torch
from kvarena.kernels.pages import kernel, reference


def lengths_of(pages, page, device):
    """[B, H] of rows whose heads have so many pages, the last one partial; none for 0."""
    return (torch.tensor(pages, dtype=torch.int32) * page - page // 2).clamp(min=0).to(device)


@pytest.mark.parametrize("per_query_head", [False, True], ids=["kv_head", "query_head"])
@pytest.mark.parametrize(
    ("num_pages", "live", "groups", "dim"),
    [
        (1, [[1, 0]], 1, 64),
        (63, [[63, 1], [0, 62]], 2, 128),
        (64, [[64]], 8, 64),
        (200, [[65, 200], [128, 64]], 5, 64),
        (1000, [[1000]], 4, 64),
    ],
    ids=["one", "below_a_block", "a_block", "around_blocks", "1000"],
)
def test_score_equals_the_reference(rng, device, num_pages, live, groups, dim, per_query_head, dtype):
    lengths = lengths_of(live, 16, device)
    query = torch.randn(*lengths.shape, groups, dim, generator=rng)
    low, high = torch.randn(2, *lengths.shape, num_pages, dim, generator=rng)
    dead = torch.arange(num_pages) >= lengths.cpu()[..., None].clamp(min=1) / 16
    low[dead], high[dead] = torch.nan, torch.nan
    query, low, high = (part.to(device, dtype) for part in (query, low, high))
    ours = kernel.score(query, low, high, lengths, 16, per_query_head)
    twin = reference.score(query, low.nan_to_num(), high.nan_to_num(), lengths, 16, per_query_head)
    assert ours.dtype == torch.float32
    assert (twin.isinf() == (dead.to(device)[:, :, None] if per_query_head else dead.to(device))).all()
    torch.testing.assert_close(ours, twin, rtol=1e-4, atol=1e-4)


def test_score_of_a_row_is_bit_equal_whatever_its_neighbours_and_the_capacity_are(rng, device):
    query = torch.randn(2, 2, 5, 64, generator=rng).to(device)
    low, high = torch.randn(2, 2, 2, 200, 64, generator=rng).to(device)
    lengths = lengths_of([[70, 3], [200, 64]], 4, device)
    beside = kernel.score(query, low, high, lengths, 4, False)
    one = query[:1], low[:1, :, :80].contiguous(), high[:1, :, :80].contiguous()
    alone = kernel.score(*one, lengths[:1], 4, False)
    assert torch.equal(beside[:1, :, :80], alone)


@pytest.mark.parametrize("count", [1, 2, 33, 256])
@pytest.mark.parametrize(
    ("num_pages", "live", "groups"),
    [
        (1, [[1, 0]], 1),
        (63, [[63, 1], [0, 62]], 2),
        (1000, [[1000, 999], [32, 33], [34, 257]], 1),
        (300, [[300, 5]], 3),
    ],
)
@pytest.mark.parametrize("kind", ["all_differ", "many_ties", "any_bits"])
def test_top_equals_the_reference(rng, device, num_pages, live, groups, count, kind):
    lengths = lengths_of(live, 4, device)
    members = (groups,) if groups > 1 else ()
    scores = torch.randn(*lengths.shape, *members, num_pages, generator=rng)
    if kind == "many_ties":
        scores = scores.round()
    if kind == "any_bits":  # infinite, NaN and subnormal numbers among them
        scores = torch.randint(-(2**31), 2**31, scores.shape, generator=rng).to(torch.int32).view(torch.float32)
        scores[..., ::7], scores[..., 3::7] = math.inf, -math.inf
    scores = scores.to(device)
    for newest in True, False:
        ours = kernel.top(scores, lengths, 4, count, newest)
        assert ours.shape[-1] == min(count, num_pages)
        assert torch.equal(ours, reference.top(scores, lengths, 4, count, newest))


@pytest.mark.parametrize("groups", [1, 3])
def test_products_equal_the_reference(rng, device, groups, dtype):
    lengths = lengths_of([[65, 200], [0, 64]], 4, device)
    queries = torch.randn(2, *lengths.shape, groups, 64, generator=rng).to(device, dtype)
    low, high = torch.randn(2, *lengths.shape, 200, 64, generator=rng).to(device, dtype)
    ours = kernel.products(*queries, low, high, lengths, 4)
    torch.testing.assert_close(ours, reference.products(*queries, low, high, lengths, 4), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dim", [64, 80])
@pytest.mark.parametrize("page", [1, 2, 3, 16])
def test_live_bounds_equal_the_reference(rng, device, page, dim, dtype):
    """Slots that are not live hold NaN; pages that have no other, zeros."""
    lengths = torch.tensor([[0, 1], [37, 101], [64, 50]], dtype=torch.int32)
    keys = torch.randn(3, 2, 101, dim, generator=rng)
    keys[torch.arange(101) >= lengths[..., None]] = torch.nan
    keys, lengths = keys.to(device, dtype), lengths.to(device)
    ours, twin = (each.live_bounds(keys, lengths, page) for each in (kernel, reference))
    assert torch.equal(ours[0], twin[0])
    assert torch.equal(ours[1], twin[1])
