import math

import pytest
import torch
from kvarena.methods.longflow import LongFlow
from kvarena.methods.tova import TOVA


def test_the_token_that_adds_least_over_all_heads_goes(view_of, kept, budget):
    """Weights of two KV heads of ten each, values of two channels; head 0 alone would drop slot 0, head 1 slot 2."""
    policy = LongFlow(budget=budget(4))
    keys = torch.tensor([[1.0, 2, 3, 2, 2], [5, 1, 1, 2, 1]]).log()[None, ..., None].expand(-1, -1, -1, 2).clone()
    keys[..., 1] = 0
    values = torch.tensor([[[1.0, -1], [2, 0], [-1, 3], [1, 1], [0, 0]], [[1, 1], [-4, 0], [0, 0], [-3, 1], [2, -2]]])
    view = view_of(policy, keys, values[None], queries=math.sqrt(2) * torch.tensor([1.0, 0]).expand(1, 2, 1, 1, 2))
    # .1 * 1 and .5 * 1, .2 * 1 and .1 * 2, .3 * 2 and .1 * 0, .2 * 1 and .2 * 2, .2 * 0 and .1 * 2
    expected = torch.tensor([0.3, 0.2, 0.3, 0.3, 0.1])
    torch.testing.assert_close(policy.score(view), expected.expand(1, 2, 5))
    assert kept(policy, view) == [[[0, 2, 3, 4]] * 2]


def losses_of_the_release(query, keys, values, mask):
    """Its kernel for one row, [S]: query heads one after the other, empty slots get nothing; query [Hq, D]."""
    heads, repeat = len(query), len(query) // len(keys)
    total = torch.zeros(keys.shape[1], dtype=torch.float64)
    for head in range(heads):
        key, value = keys[head // repeat].double(), values[head // repeat].double()
        scores = (query[head].double() * key).sum(1) * query.shape[1] ** -0.5
        probabilities = torch.where(mask, scores, -torch.inf).softmax(0)
        total += (probabilities[:, None] * value).abs().sum(1)
    return total / (heads * query.shape[1])


def test_is_the_arithmetic_of_the_release(view_of, budget, rng):
    """Two KV heads of three query heads, slot by slot; two slots hold nothing."""
    policy = LongFlow(budget=budget(4))
    keys, values = torch.randn(2, 1, 2, 9, 8, generator=rng)
    queries = torch.randn(1, 2, 3, 1, 8, generator=rng)
    positions = torch.tensor([7, 0, -1, 3, 5, 1, -1, 9, 2])
    score = policy.score(view_of(policy, keys, values, queries=queries, positions=positions))
    expected = losses_of_the_release(queries.view(6, 8), keys[0], values[0], positions >= 0)
    live = positions >= 0
    for head in (0, 1):
        torch.testing.assert_close(score[0, head, live].double(), expected[live], rtol=1e-5, atol=1e-8)


def test_heads_need_not_hold_a_position_in_the_same_slot(view_of, budget, rng):
    policy = LongFlow(budget=budget(4))
    keys, values = torch.randn(2, 1, 2, 9, 8, generator=rng)
    queries, order = torch.randn(1, 2, 3, 1, 8, generator=rng), torch.randperm(9, generator=rng)
    turned = [torch.stack([part[0, 0], part[0, 1, order]])[None] for part in (keys, values)]
    positions = torch.stack([torch.arange(9), order])[None]
    one = policy.score(view_of(policy, keys, values, queries=queries))
    other = policy.score(view_of(policy, *turned, queries=queries, positions=positions))
    torch.testing.assert_close(one[:, 0], other[:, 0])
    torch.testing.assert_close(one[:, 1, order], other[:, 1])


def test_values_alike_are_tova(view_of, kept, budget, rng):
    keys, queries = torch.randn(3, 2, 20, 8, generator=rng), torch.randn(3, 2, 2, 1, 8, generator=rng)
    values = torch.ones(3, 2, 20, 8) * torch.tensor([1.0, -1] * 4)
    longflow, tova = LongFlow(budget=budget(8)), TOVA(budget=budget(8))
    sets = kept(longflow, view_of(longflow, keys, values, queries=queries))
    assert sets == kept(tova, view_of(tova, keys, values, queries=queries))


@pytest.mark.parametrize("recent", [1, 3])
def test_asks_for_the_newest_query_alone(budget, recent):
    assert LongFlow(budget=budget(6, recent=recent)).needs.queries == 1
