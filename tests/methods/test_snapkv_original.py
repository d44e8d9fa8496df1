import math

import pytest
import torch
from kvarena.methods.snapkv_original import SnapKVOriginal


def test_the_window_attends_to_itself_and_not_ahead(view_of, budget):
    """Weights 1, 2 and a window of 3, 4: its queries see 6 and 10 in all."""
    policy = SnapKVOriginal(budget=budget(3, recent=2), smooth=1)
    keys = [[math.log(weight)] for weight in (1, 2, 3, 4)]
    view = view_of(policy, keys, queries=[[1.0], [1.0]])
    expected = [(1 / 6 + 1 / 10) / 2, (2 / 6 + 2 / 10) / 2, 0, 0]
    assert policy.score(view).flatten().tolist() == pytest.approx(expected)


def test_is_the_causal_softmax_pooled_in_each_query_head(view_of, budget, rng):
    """Three query heads, a window of 4, 14 slots in mixed order of which two are not live."""
    policy = SnapKVOriginal(budget=budget(8, recent=4))
    positions = torch.tensor([7, -1, 0, 3, 11, 5, 1, 9, 2, -1, 4, 10, 8, 6])
    keys, queries = torch.randn(1, 1, 14, 8, generator=rng), torch.randn(1, 1, 3, 4, 8, generator=rng)
    score = policy.score(view_of(policy, keys, queries=queries, positions=positions))[0, 0]
    by_position = torch.stack([keys[0, 0, (positions == p).nonzero().item()] for p in range(12)]).double()
    expected = torch.zeros(8, dtype=torch.float64)
    for head in range(3):
        shares = torch.zeros(8, dtype=torch.float64)
        for query in range(4):
            seen = by_position[: 8 + query + 1]
            shares += (seen @ queries[0, 0, head, query].double() / math.sqrt(8)).softmax(0)[:8]
        padded = [0, 0, *shares.tolist(), 0, 0]
        expected += torch.tensor([sum(padded[i : i + 5]) / 5 for i in range(8)])
    found = torch.stack([score[(positions == p).nonzero().item()] for p in range(8)])
    torch.testing.assert_close(found.double(), expected / 12, rtol=1e-5, atol=1e-7)
