import torch
from kvarena.methods.knorm import KNorm


def test_the_longest_keys_go(view_of, kept, budget):
    """Lengths 5, 1, 2, 3 and, recent, 10."""
    policy = KNorm(budget=budget(3))
    view = view_of(policy, [[3, 4], [1, 0], [0, 2], [3, 0], [6, 8]])
    assert policy.score(view).tolist() == [[[-5, -1, -2, -3, -10]]]
    assert kept(policy, view) == [[[1, 2, 4]]]


def test_a_rotation_by_position_changes_nothing(view_of, kept, budget, rng):
    policy = KNorm(budget=budget(8))
    keys = torch.randn(1, 2, 20, 2, generator=rng)
    angle = torch.arange(20) * 0.7
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(20, 2, 2)
    turned = (turn @ keys[..., None]).squeeze(-1)
    assert kept(policy, view_of(policy, keys)) == kept(policy, view_of(policy, turned))
