from dataclasses import replace

import pytest
import torch
from kvarena.kernels import noise
from kvarena.methods.cam import CaM
from kvarena.methods.h2o import H2O
from kvarena.methods.knorm import KNorm
from kvarena.methods.random import Random
from kvarena.methods.scores import slot_uniform


@pytest.fixture
def policy(budget):
    return CaM(budget=budget(3), of=KNorm(budget=budget(9)), merge_budget=2)


def merged(policy, view):
    keys, values = policy.merge(view, policy.keep(view))
    assert torch.equal(keys, view.keys)
    return values


def test_by_hand(policy, view_of):
    """Keys 9 and 8 go; of great mass, so surely. Each is halved: 100 into the next two, 200 into the last two."""
    keys, values = [[9.0], [1], [8], [2], [0]], [[100.0], [10], [200], [20], [0]]
    view = view_of(policy, keys, values, mass=[50.0, 1, 50, 1, 1])
    assert merged(policy, view)[0, 0, :, 0].tolist() == [100, 10 + 50, 200, 20 + 50 + 100, 0 + 100]


def test_at_the_end_fewer_follow(policy, view_of):
    """Only the recent one follows 200: it takes it up whole."""
    keys, values = [[1.0], [9], [2], [8], [0]], [[10.0], [100], [20], [200], [0]]
    view = view_of(policy, keys, values, mass=[1.0, 50, 1, 50, 1])
    assert merged(policy, view)[0, 0, :, 0].tolist() == [10, 100, 20 + 50, 200, 0 + 50 + 200]


def test_what_nobody_attended_to_is_not_merged(policy, view_of):
    keys, values = [[9.0], [1], [8], [2], [0]], [[100.0], [10], [200], [20], [0]]
    view = view_of(policy, keys, values, mass=[0.0, 1, 0, 1, 1])
    assert merged(policy, view)[0, 0, :, 0].tolist() == [100, 10, 200, 20, 0]


def test_a_victim_is_merged_as_often_as_its_mass_says(policy, view_of):
    """Mass 1 over a mean of 4: one of four."""
    keys = torch.tensor([[9.0], [1], [8], [2], [0]]).expand(4000, 1, -1, -1)
    view = view_of(policy, keys, keys, mass=[1.0, 3, 0, 5, 9])
    share = (merged(policy, view)[:, 0, 1, 0] > 1).float().mean().item()
    assert share == pytest.approx(0.25, abs=0.02)


def one_after_the_other(policy, view, keep):
    """kvpress's arithmetic, a victim at a time: window, mean mass, probability, parts."""
    values = view.values.clone()
    uniform = slot_uniform(view, stream=noise.MERGES)
    for row, head in torch.cartesian_prod(torch.arange(len(keep)), torch.arange(keep.shape[1])).tolist():
        line = view.by_position[row, head].tolist()
        kept = [slot for slot in line if keep[row, head, slot]]
        for slot in line:
            position = view.positions[row, head, slot]
            if keep[row, head, slot] or position < 0:
                continue
            window = [other for other in kept if view.positions[row, head, other] > position][: policy.merge_budget]
            probability = min(1, view.mass[row, head, slot] / view.mass[row, head, window].mean())
            if uniform[row, head, slot] < probability:
                values[row, head, window] += view.values[row, head, slot] / len(window)
    return values


@pytest.mark.parametrize("merge_budget", [1, 3, 32])
def test_all_at_once_is_one_after_the_other(budget, view_of, rng, merge_budget):
    """Slots in any order, dead ones among them; heads drop tokens of their own."""
    policy = CaM(budget=budget(9), of=H2O(budget=budget(9)), merge_budget=merge_budget)
    positions = torch.rand(3, 2, 20, generator=rng).argsort(-1) - 3
    keys, values = torch.randn(2, 3, 2, 20, 4, generator=rng)
    mass = torch.rand(3, 2, 20, generator=rng)
    view = view_of(policy, keys, values, positions=positions.clamp(min=-1), mass=mass, excess=8)
    keep = policy.keep(view)
    assert (keep.sum(-1) == 9).all()
    torch.testing.assert_close(policy.merge(view, keep)[1], one_after_the_other(policy, view, keep))


def test_its_draw_is_not_that_of_the_method_inside(budget, view_of):
    policy = CaM(budget=budget(3), of=Random(budget=budget(3)))
    view = view_of(policy, torch.ones(5, 1), mass=torch.ones(5))
    assert not torch.equal(slot_uniform(view), slot_uniform(view, stream=noise.MERGES))
    assert policy.stochastic
    assert replace(policy.needs, mass=False, merges=False) == policy.of.needs


@pytest.mark.parametrize("merge_budget", [0, -1])
def test_merging_into_nothing_is_refused(policy, merge_budget):
    with pytest.raises(ValueError, match="merge_budget"):
        replace(policy, merge_budget=merge_budget)
