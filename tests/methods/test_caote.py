import math

import pytest
import torch
from kvarena.methods.caote import CAOTE


def attended(weights):
    return [[math.log(weight)] for weight in (*weights, 1)]


def test_score_golden(view_of, kept, budget):
    """Output 1.9; the token of middle attention lies next to it and goes first."""
    policy = CAOTE(budget=budget(3))
    view = view_of(policy, attended((0.5, 0.3, 0.2)), [[1], [2], [4], [99]], queries=[[1.0]])
    assert policy.score(view).flatten()[:3].tolist() == pytest.approx([0.9, 0.042857, 0.525], abs=1e-5)
    assert kept(policy, view) == [[[0, 2, 3]]]


def test_is_how_far_the_output_moves(view_of, budget, rng):
    policy = CAOTE(budget=budget(4))
    keys, values = torch.randn(2, 7, 4, generator=rng)
    query = torch.randn(1, 4, generator=rng)
    score = policy.score(view_of(policy, keys, values, queries=query)).flatten()
    logits = keys[:6].double() @ query[0].double() / 2
    whole = logits.softmax(0) @ values[:6].double()
    for j in range(6):
        rest = [i for i in range(6) if i != j]
        moved = (whole - logits[rest].softmax(0) @ values[rest].double()).norm()
        assert score[j].item() == pytest.approx(moved.item(), rel=1e-4)


def test_a_common_shift_of_the_values_changes_nothing(view_of, budget, rng):
    policy = CAOTE(budget=budget(4))
    keys, values, queries = torch.randn(3, 7, 4, generator=rng)
    one, other = (policy.score(view_of(policy, keys, v, queries=queries[:1])) for v in (values, values + 3))
    torch.testing.assert_close(one[..., :6], other[..., :6], rtol=1e-4, atol=1e-5)


def test_a_token_with_all_the_attention_stays(view_of, kept, budget):
    policy = CAOTE(budget=budget(2))
    view = view_of(policy, [[0.0], [500], [0], [0]], [[5], [1], [7], [1]], queries=[[1.0]])
    assert not policy.score(view).isnan().any()
    assert kept(policy, view) == [[[1, 3]]]
