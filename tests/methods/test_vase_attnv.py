import math
from itertools import permutations

import pytest
import torch
from kvarena.methods.magnitude import Norm, Range, Variance
from kvarena.methods.neighbours import ByRank
from kvarena.methods.rkv import RKVVaSE
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV

WEIGHTS = (0.4, 0.3, 0.2, 0.1)
TRIALS = 20_000

# exact, by the sum over all orders of drawing one after the other
INCLUSION = {
    1: (0.4, 0.3, 0.2, 0.1),
    2: (0.715873, 0.608333, 0.441270, 0.234524),
    3: (0.922222, 0.870238, 0.758730, 0.448810),
}


def attended(weights, rows=1):
    """Keys [rows, 1, N + 1, 1] that give a query of 1 these weights over all slots but the recent one."""
    return torch.tensor([*map(math.log, weights), 0.0])[:, None].expand(rows, 1, -1, 1)


@pytest.mark.parametrize("draws", INCLUSION)
def test_inclusion_probabilities_of_the_sample(view_of, budget, draws):
    policy = VaSEAttnV(budget=budget(draws + 1), smooth=1, n_large=0)
    keep = policy.keep(view_of(policy, attended(WEIGHTS, TRIALS), queries=[[1.0]]))
    assert (keep.sum(-1) == draws + 1).all()
    for frequency, exact in zip(keep[:, 0, :4].double().mean(0).tolist(), INCLUSION[draws], strict=True):
        assert abs(frequency - exact) < 4 * math.sqrt(exact * (1 - exact) / TRIALS)


def test_sets_follow_plackett_and_luce(view_of, budget):
    """Two of three by weights 5, 3, 2: the probability of each pair, by both orders of drawing it."""
    weights = (0.5, 0.3, 0.2)
    policy = VaSEAttnV(budget=budget(3), smooth=1, n_large=0)
    keep = policy.keep(view_of(policy, attended(weights, TRIALS), queries=[[1.0]], seed=1))[:, 0, :3]
    for left_out in range(3):
        pair = [i for i in range(3) if i != left_out]
        exact = sum(weights[i] * weights[j] / (1 - weights[i]) for i, j in permutations(pair))
        frequency = (~keep[:, left_out]).double().mean().item()
        assert abs(frequency - exact) < 4 * math.sqrt(exact * (1 - exact) / TRIALS)


def test_many_slots_go_by_the_closed_form(view_of, budget, rng):
    """Of M slots r go; for large M slot j goes with probability exp(-tau p_j), where these sum to r."""
    slots, gone, trials = 1024, 32, 1000
    weights = torch.randn(slots, generator=rng).mul(0.7).exp().double()
    weights /= weights.sum()
    low, high = 0.0, 1e6
    for _ in range(100):
        tau = (low + high) / 2
        low, high = (tau, high) if (-tau * weights).exp().sum() > gone else (low, tau)
    expected = (-tau * weights).exp()
    policy = VaSEAttnV(budget=budget(slots - gone + 1), smooth=1, n_large=0)
    keep = policy.keep(view_of(policy, attended(weights.tolist(), trials), queries=[[1.0]]))[:, 0, :slots]
    z = ((~keep).double().mean(0) - expected) / (expected * (1 - expected) / trials).sqrt()
    assert 0.9 < z[expected > 0.01].square().mean().sqrt() < 1.1


def test_the_large_set_always_stays_and_the_rest_is_drawn_from_the_others(view_of, budget):
    """Slots 0 and 2 have the largest ranges; attention has all but left them."""
    policy = VaSEAttnV(budget=budget(4), smooth=1, n_large=2)
    keys = attended((1e-9, 0.4, 1e-9, 0.3, 0.3), 2000)
    values = torch.tensor([[0.0, 9], [0, 1], [-4, 4], [2, 1], [0, 2], [0, 99]]).expand(2000, 1, 6, 2)
    keep = policy.keep(view_of(policy, keys, values, queries=[[1.0]]))[:, 0]
    assert keep[:, [0, 2, 5]].all()
    assert (keep.sum(-1) == 4).all()
    for frequency, exact in zip(keep[:, [1, 3, 4]].double().mean(0).tolist(), (0.4, 0.3, 0.3), strict=True):
        assert abs(frequency - exact) < 4 * math.sqrt(exact * (1 - exact) / 2000)


def test_sinks_count_as_large(view_of, kept, budget):
    """Of 3 large slots 2 are the sinks', so only the largest range, slot 4, is left to choose."""
    policy = VaSEAttnV(budget=budget(6, sinks=2), smooth=1, n_large=3)
    values = [[0, 0], [0, 0], [0, 5], [0, 4], [0, 9], [0, 1], [0, 2], [0, 0]]
    large = policy.large(view_of(policy, torch.zeros(8, 2), values, queries=[[0.0, 0]]))
    assert large[0, 0].nonzero().flatten().tolist() == [0, 1, 4]


def test_a_protected_prompt_takes_no_large_slot(view_of, budget):
    """Of the prompt's five only the two sinks count; slots 5 to 8 may be large, and two of them are."""
    policy = VaSEAttnV(budget=budget(9, sinks=2, protect_prompt=True), smooth=1, n_large=4)
    ranges = torch.tensor([9, 9, 9, 9, 9, 3, 1, 4, 2, 9])
    view = view_of(policy, torch.zeros(10, 2), ranges[:, None] * torch.tensor([0, 1]), queries=[[0.0, 0]], prompt=5)
    assert policy.large(view)[0, 0].nonzero().flatten().tolist() == [0, 1, 5, 7]


@pytest.mark.parametrize("seed", range(3))
def test_only_large_is_the_top_of_the_ranges(view_of, kept, budget, seed):
    """n_large = K: no draw is left, queries and noise do not matter. Ranges 5, 4, 9, 1, 2, 3."""
    policy = VaSEAttnV(budget=budget(4), smooth=1, n_large=3)
    values = [[0, 5], [0, 4], [0, 9], [0, 1], [0, 2], [0, 3], [0, 0]]
    view = view_of(policy, attended((1, 2, 30, 400, 5000, 60000)), values, queries=[[1.0]], seed=seed)
    assert kept(policy, view) == [[[0, 1, 2, 6]]]


def test_none_is_a_quarter_of_the_budget(view_of, budget):
    policy = VaSEAttnV(budget=budget(8), smooth=1)
    values = torch.arange(12.0)[:, None] * torch.tensor([0, 1])
    large = policy.large(view_of(policy, torch.zeros(12, 2), values, queries=[[0.0, 0]]))
    assert large[0, 0].nonzero().flatten().tolist() == [9, 10]


@pytest.mark.parametrize(
    ("changes", "prompt", "expected"),
    [
        # 3 large slots would be a quarter of 12, but only 2 can stay beside 10 recent ones: ranges 9 and 8
        ({"tokens": 12, "recent": 10}, 0, [0, 2, *range(4, 14)]),
        # the prompt takes 5 of 8, the recent slot 1: the 2 left go to ranges 9 and 7 of the positions from 5 on
        ({"tokens": 8, "protect_prompt": True}, 5, [0, 1, 2, 3, 4, 5, 8, 13]),
    ],
    ids=["recent", "prompt"],
)
def test_a_large_set_above_the_free_slots_keeps_the_largest(view_of, kept, budget, changes, prompt, expected):
    ranges = torch.tensor([9, 1, 8, 2, 1, 9, 3, 4, 7, 5, 6, 2, 1, 0])
    policy = VaSEAttnV(budget=budget(changes.pop("tokens"), **changes), smooth=1, n_large=None if prompt == 0 else 4)
    view = view_of(
        policy, torch.zeros(14, 2), ranges[:, None] * torch.tensor([0, 1]), queries=[[0.0, 0]], prompt=prompt
    )
    assert kept(policy, view) == [[expected]]


def test_sampling_follows_the_smoothed_attention(view_of, budget, rng):
    """Smoothing with 3 of weights 0, 0, 1, 0, 0: only slots 1, 2 and 3 can be drawn, each alike."""
    policy = VaSEAttnV(budget=budget(2), smooth=3, n_large=0)
    view = view_of(policy, attended((1e-30, 1e-30, 1, 1e-30, 1e-30), 3000), queries=[[1.0]])
    rates = policy.keep(view)[:, 0, :5].double().mean(0)
    assert rates[[0, 4]].tolist() == [0, 0]
    assert (rates[1:4] - 1 / 3).abs().max() < 4 * math.sqrt(2 / 9 / 3000)


def test_nothing_attended_is_no_nan(view_of, budget):
    """Weights that are 0 in float32 go first, the older first."""
    policy = VaSEAttnV(budget=budget(3), smooth=1, n_large=0)
    view = view_of(policy, [[-500.0], [-500], [0], [-500], [0]], queries=[[1.0]])
    assert not policy.score(view).isnan().any()
    assert policy.keep(view)[0, 0].tolist() == [False, False, True, True, True]


def test_importance_is_that_of_snapkv_and_rkv(view_of, budget, rng):
    keys, queries = torch.randn(1, 2, 12, 4, generator=rng), torch.randn(1, 2, 3, 2, 4, generator=rng)
    one, other = VaSEAttnV(budget=budget(6)), RKVVaSE(budget=budget(6))
    assert torch.equal(
        one.importance(view_of(one, keys, queries=queries)), other.importance(view_of(other, keys, queries=queries))
    )


@pytest.mark.parametrize("n_large", [-1, 4])
def test_n_large_beyond_the_free_slots_is_refused(budget, n_large):
    with pytest.raises(ValueError, match=f"method.n_large={n_large}"):
        VaSEAttnV(budget=budget(4), n_large=n_large)


def test_without_sampling_the_most_attended_of_the_rest_stay(view_of, kept, budget):
    """Slot 2 is large; of the weights 4, 1, -, 3, 2 the top two stay, whatever the seed."""
    policy = VaSEAttnV(budget=budget(4), smooth=1, n_large=1, sample=False)
    values = [[0, 1], [0, 2], [0, 9], [0, 3], [0, 1], [0, 0]]
    for seed in range(5):
        view = view_of(policy, attended((4, 1, 1, 3, 2)), values, queries=[[1.0]], seed=seed)
        assert kept(policy, view) == [[[0, 2, 3, 5]]]


def test_without_large_slots_and_sampling_it_is_snapkv(view_of, kept, budget, rng):
    keys, queries = torch.randn(2, 2, 20, 4, generator=rng), torch.randn(2, 2, 3, 2, 4, generator=rng)
    one, other = VaSEAttnV(budget=budget(9), n_large=0, sample=False), SnapKV(budget=budget(9))
    assert kept(one, view_of(one, keys, queries=queries)) == kept(other, view_of(other, keys, queries=queries))


@pytest.mark.parametrize(
    ("magnitude", "large"), [(Range(), [0]), (Variance(), [1]), (Norm(), [2])], ids=["range", "variance", "norm"]
)
def test_the_magnitude_decides_what_is_large(view_of, budget, magnitude, large):
    """Ranges 10, 9, 0; variances 50 / 3, 27, 0; norms 7.1, 9, 16."""
    policy = VaSEAttnV(budget=budget(3), smooth=1, n_large=1, magnitude=magnitude)
    values = [[-5, 0, 0, 5], [4.5, 4.5, -4.5, -4.5], [8, 8, 8, 8], [0, 0, 0, 0]]
    view = view_of(policy, torch.zeros(4, 1), values, queries=[[0.0]])
    assert policy.large(view)[0, 0].nonzero().flatten().tolist() == large


def test_large_slots_stand_before_the_sample_and_by_their_size(view_of, budget):
    """The order that the release's smoothing sees in the next round: sinks, large by size, drawn, recent."""
    policy = VaSEAttnV(budget=budget(6, sinks=1), smooth=1, n_large=3, sample=False, neighbours=ByRank())
    ranges = torch.tensor([0.0, 1, 8, 1, 9, 1, 0])
    view = view_of(policy, attended((1, 4, 1, 6, 1, 5)), ranges[:, None] * torch.tensor([0, 1]), queries=[[1.0]])
    assert policy.survivor_order(view, policy.score(view))[0, 0].argsort().tolist() == [0, 4, 2, 3, 5, 1, 6]


def test_large_values_that_differ_in_the_last_bit_keep_their_order(view_of, budget):
    """Three neighbouring floats, and a range of nothing that is large all the same."""
    policy = VaSEAttnV(budget=budget(6), smooth=1, n_large=4, sample=False, neighbours=ByRank())
    one = torch.tensor(1.0)
    above = torch.nextafter(one, torch.tensor(2.0))
    ranges = torch.stack([one, torch.nextafter(above, torch.tensor(2.0)), torch.tensor(0.0), above, *torch.zeros(2)])
    view = view_of(policy, attended((1, 4, 1, 6, 1)), ranges[:, None] * torch.tensor([0, 1]), queries=[[1.0]])
    assert policy.survivor_order(view, policy.score(view))[0, 0].argsort().tolist()[:3] == [1, 3, 0]
