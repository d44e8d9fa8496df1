from dataclasses import dataclass

import pytest
import torch
from kvarena.methods.curdkv import CurDKV, CurDKVVaSE
from kvarena.methods.vase_dkv import VaSEDKV


@dataclass(frozen=True, kw_only=True)
class ExactNorms(CurDKVVaSE):
    def projection(self, view):
        """A rotation: keeps every norm."""
        return torch.tensor([[0.6, 0.8], [-0.8, 0.6]])


@pytest.fixture
def random_view(view_of, rng):
    """random_view(policy, ...): three rows of two heads, 20 slots."""
    keys, values = torch.randn(2, 3, 2, 20, 8, generator=rng)
    return lambda policy, **changes: view_of(policy, keys, values, **changes)


def test_score_golden(view_of, budget):
    """|k|^2 |v|^2 is 25 * 4 and 1 * 4; the recent slot takes no share."""
    view = view_of(ExactNorms(budget=budget(2)), [[3, 4], [1, 0], [9, 9]], [[0, 2], [2, 0], [9, 9]])
    assert ExactNorms(budget=budget(2)).score(view).flatten().tolist() == pytest.approx(
        [0.961538, 0.038462, 0], abs=1e-6
    )


def test_large_keys_times_values_stay(view_of, kept, budget):
    """Leverages 1, 64, 36, 9, 100; slot 0 is a sink."""
    policy = ExactNorms(budget=budget(4, sinks=1))
    view = view_of(
        policy, [[1, 0], [0, 4], [3, 0], [3, 0], [0, 10], [0, 0]], [[1, 0], [2, 0], [0, 2], [1, 0], [0, 1], [0, 0]]
    )
    assert kept(policy, view) == [[[0, 1, 4, 5]]]


def test_first_eviction_is_the_same_with_both_later_ones_only_with_curdkv(random_view, kept, budget):
    fixed, fresh = CurDKVVaSE(budget=budget(10)), VaSEDKV(budget=budget(10))
    rounds = [(kept(fixed, random_view(fixed, round=r)), kept(fresh, random_view(fresh, round=r))) for r in range(3)]
    assert rounds[0][0] == rounds[0][1]
    assert rounds[0][0] == rounds[1][0] == rounds[2][0]
    assert rounds[0][1] != rounds[1][1]
    assert rounds[1][1] != rounds[2][1]


@pytest.mark.parametrize("policy", [CurDKVVaSE, VaSEDKV])
def test_layers_and_seeds_have_projections_of_their_own(random_view, kept, budget, policy):
    policy = policy(budget=budget(10))
    sets = [kept(policy, random_view(policy, **changes)) for changes in ({}, {"layer": 1}, {"seed": 1})]
    assert sets[0] != sets[1]
    assert sets[0] != sets[2]


def test_heads_share_the_projection_and_rows_do_not(view_of, kept, budget, rng):
    policy = VaSEDKV(budget=budget(12))
    keys, values = torch.randn(2, 40, 8, generator=rng)
    row, other = kept(policy, view_of(policy, keys.expand(2, 2, 40, 8), values.expand(2, 2, 40, 8)))
    assert row[0] == row[1]
    assert other[0] == other[1]
    assert row != other


def test_a_large_rank_comes_near_the_exact_norms(random_view, budget):
    policy = CurDKVVaSE(budget=budget(10), rank=20_000)
    view = random_view(policy)
    exact = (view.keys.square().sum(-1) * view.values.square().sum(-1))[..., :19]
    torch.testing.assert_close(policy.score(view)[..., :19], exact / exact.sum(-1, keepdim=True), rtol=0.1, atol=0)


def test_more_leverage_stays_more_often(view_of, budget):
    """Keys and values of one direction and growing length, 500 rows: each step up survives at least as often."""
    policy = VaSEDKV(budget=budget(4))
    lengths = torch.linspace(1, 1.5, 8)
    vectors = torch.eye(8) * lengths[:, None]  # directions at right angles, so each has noise of its own
    vectors = torch.cat([vectors, torch.zeros(1, 8)])
    rate = policy.keep(view_of(policy, vectors.expand(500, 1, 9, 8))).double().mean((0, 1))[:8]
    assert (rate.diff() > -0.04).all()
    assert rate[-1] - rate[0] > 0.5


def test_rank_below_one_is_refused(budget):
    with pytest.raises(ValueError, match=r"method.rank=0"):
        CurDKVVaSE(budget=budget(4), rank=0)


def test_leverage_is_a_share_of_the_block(view_of, kept, budget):
    """Blocks of two: key shares 1/4 3/4, 1/2 1/2, 1; value shares 1/2 1/2, 3/4 1/4, 1; their products sum to 2."""
    policy = CurDKV(budget=budget(4), block=2)
    keys, values = (torch.tensor(norms).sqrt()[:, None] for norms in ([1.0, 3, 2, 2, 4], [1.0, 1, 3, 1, 5]))
    expected = torch.tensor([0.0625, 0.1875, 0.1875, 0.0625, 0.5])
    straight = view_of(policy, keys, values)
    torch.testing.assert_close(policy.score(straight)[0, 0], expected)
    assert kept(policy, straight) == [[[1, 2, 3, 4]]]
    # blocks are of neighbours by position, wherever they stand, and a slot that is not live belongs to none
    slots = torch.tensor([3, 0, 4, 2, 1])
    dead = torch.full((1, 1), 7.0)
    mixed = view_of(
        policy, torch.cat([dead, keys[slots]]), torch.cat([dead, values[slots]]), positions=[-1, *slots.tolist()]
    )
    torch.testing.assert_close(policy.score(mixed)[0, 0, 1:], expected[slots])


def test_one_block_of_all_is_the_product_of_the_norms(random_view, budget):
    policy = CurDKV(budget=budget(10), block=64)
    view = random_view(policy)
    exact = view.keys.square().sum(-1) * view.values.square().sum(-1)
    torch.testing.assert_close(policy.score(view), exact / exact.sum(-1, keepdim=True))


def test_a_block_of_nothing_is_no_nan(view_of, budget):
    policy = CurDKV(budget=budget(2), block=2)
    assert policy.score(view_of(policy, [[0.0], [0], [1]])).tolist() == [[[0, 0, 1]]]


def test_block_below_one_is_refused(budget):
    with pytest.raises(ValueError, match=r"method.block=0"):
        CurDKV(budget=budget(4), block=0)
