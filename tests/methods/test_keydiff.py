import pytest
import torch
from kvarena.methods.keydiff import KeyDiff
from kvarena.methods.rkv import RKVVaSE


def test_keys_like_the_mean_go(view_of, kept, budget):
    """Directions e1, e1, e2 and, recent, e1 sum to (3, 1): cosines 3 and 1 over the root of 10."""
    policy = KeyDiff(budget=budget(3))
    view = view_of(policy, [[1, 0], [5, 0], [0, 2], [1, 0]])
    assert policy.score(view).flatten().tolist() == pytest.approx([-0.948683, -0.948683, -0.316228, -0.948683])
    assert kept(policy, view) == [[[1, 2, 3]]]


def test_slots_that_are_not_live_have_no_say(view_of, budget):
    policy = KeyDiff(budget=budget(2))
    view = view_of(policy, [[1, 0], [torch.nan, 0], [0, 1]], positions=[0, -1, 1])
    assert policy.score(view)[0, 0, [0, 2]].tolist() == pytest.approx([-0.707107, -0.707107])


def test_the_length_of_a_key_does_not_matter(view_of, kept, budget, rng):
    policy = KeyDiff(budget=budget(8))
    keys, lengths = torch.randn(2, 2, 20, 8, generator=rng), torch.rand(2, 2, 20, 1, generator=rng) + 0.1
    assert kept(policy, view_of(policy, keys)) == kept(policy, view_of(policy, keys * lengths))


def test_is_redundancy_alone_where_the_recent_slots_have_no_direction(view_of, kept, budget, rng):
    keys = torch.randn(2, 2, 20, 8, generator=rng)
    keys[:, :, -3:] = 0
    one, other = KeyDiff(budget=budget(9, recent=3)), RKVVaSE(budget=budget(9, recent=3), lam=0)
    queries = torch.zeros(2, 2, 1, 3, 8)
    assert kept(one, view_of(one, keys)) == kept(other, view_of(other, keys, queries=queries))
