"""Laws that the draws of the stochastic methods follow, at fixed seeds."""

import math
from collections import Counter
from itertools import combinations, permutations

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.curdkv import CurDKVVaSE
from kvarena.methods.random import Random
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV
from scipy import stats

WEIGHTS = (0.4, 0.3, 0.2, 0.1)
PAIRS = list(combinations(range(4), 2))
# of both orders of drawing: p_i p_j / (1 - p_i) + p_j p_i / (1 - p_j)
PAIR_PROBABILITIES = (0.371429, 0.233333, 0.111111, 0.160714, 0.076190, 0.047222)
TRIALS = 20_000


@pytest.fixture
def attended(view_of):
    """attended(policy, weights, rows): a view in which a query of 1 gives these weights to all slots but the recent."""

    def build(policy, weights, rows, **changes):
        keys = torch.tensor([*map(math.log, weights), 0.0])[:, None].expand(rows, 1, -1, 1)
        return view_of(policy, keys, queries=[[1.0]], **changes)

    return build


@pytest.fixture
def pairs_of_attnv(attended, budget):
    policy = VaSEAttnV(budget=budget(3), smooth=1, n_large=0)
    keep = policy.keep(attended(policy, WEIGHTS, TRIALS))[:, 0, :4]
    return keep.nonzero()[:, 1].view(TRIALS, 2)


def counts(pairs):
    found = Counter(tuple(sorted(pair)) for pair in pairs.tolist())
    assert set(found) <= set(PAIRS)
    return [found[pair] for pair in PAIRS]


def test_pair_probabilities_are_those_of_drawing_one_after_the_other():
    for pair, probability in zip(PAIRS, PAIR_PROBABILITIES, strict=True):
        orders = [WEIGHTS[i] * WEIGHTS[j] / (1 - WEIGHTS[i]) for i, j in permutations(pair)]
        assert probability == pytest.approx(sum(orders), abs=2e-6)


def test_three_ways_to_sample_without_replacement_agree(pairs_of_attnv, rng):
    """Ours, torch.multinomial, and the largest u^(1/w) of Efraimidis and Spirakis: each by its law, and one another."""
    weights = torch.tensor(WEIGHTS).expand(TRIALS, 4)
    uniform = torch.rand(TRIALS, 4, generator=rng, dtype=torch.float64)
    samples = [
        counts(pairs_of_attnv),
        counts(torch.multinomial(weights, 2, generator=rng)),
        counts((uniform ** (1 / weights)).topk(2, -1).indices),
    ]
    expected = [TRIALS * probability / sum(PAIR_PROBABILITIES) for probability in PAIR_PROBABILITIES]
    for sample in samples:
        assert stats.chisquare(sample, expected).pvalue > 1e-3
    assert stats.chi2_contingency(samples).pvalue > 1e-3


def test_inclusion_of_three_items(attended, budget):
    policy = VaSEAttnV(budget=budget(3), smooth=1, n_large=0)
    rates = policy.keep(attended(policy, (0.5, 0.3, 0.2), TRIALS, seed=3))[:, 0, :3].double().mean(0)
    exact = torch.tensor([0.839286, 0.675000, 0.485714], dtype=torch.float64)
    assert ((rates - exact).abs() < 4 * (exact * (1 - exact) / TRIALS).sqrt()).all()


def test_more_attention_is_never_evicted_more_often(attended, budget):
    """64 weights from 1 to 20, eight slots go: the rates of eviction fall from weight to weight, up to noise."""
    weights = torch.linspace(0, math.log(20), 64).exp()
    policy = VaSEAttnV(budget=budget(57), smooth=1, n_large=0)
    gone = (~policy.keep(attended(policy, (weights / weights.sum()).tolist(), 4000))[:, 0, :64]).double().mean(0)
    assert gone.sum() == pytest.approx(8)
    noise = 4 * (2 * gone * (1 - gone) / 4000).sqrt()
    assert (gone.diff() < noise[:-1].clamp(min=1e-3)).all()
    assert stats.spearmanr(gone, weights).statistic < -0.97


@pytest.mark.parametrize("method", [CurDKVVaSE, VaSEDKV], ids=lambda method: method.__name__)
def test_projected_length_follows_chi_square_of_the_rank(view_of, budget, method):
    """|G'x|^2 of one vector of length 5 in two heads, as key and as value; 4,000 rows."""
    policy = method(budget=budget(2))
    view = view_of(policy, torch.tensor([3.0, 0, 4, 0]).expand(4000, 2, 3, 4))
    gauss = policy.projection(view)
    key, value = ((x.float() @ gauss).square().sum(-1)[..., 0].double() for x in (view.keys, view.values))
    ratio = key / 25
    assert stats.kstest(20 * ratio[:, 0], stats.chi2(20).cdf).pvalue > 1e-3
    assert abs(ratio[:, 0].mean() - 1) < 4 * math.sqrt(0.1 / 4000)
    assert abs(ratio[:, 0].var() - 0.1) < 0.01
    # heads, and keys and values, share the projection; rows do not
    assert torch.equal(ratio[:, 0], ratio[:, 1])
    assert torch.equal(key, value)
    assert abs(torch.corrcoef(torch.stack([ratio[:-1, 0], ratio[1:, 0]]))[0, 1]) < 4 / math.sqrt(4000)


def live_through(view_of, policy, rounds, rows):
    """Positions [rows, tokens] that are left after each of so many rounds, `interval` new ones before every one."""
    tokens, new = policy.budget.tokens, policy.budget.interval
    positions = torch.arange(tokens).expand(rows, 1, tokens)
    for round in range(rounds):
        fresh = torch.arange(new) + tokens + new * round
        positions = torch.cat([positions, fresh.expand(rows, 1, new)], -1)
        view = view_of(policy, torch.zeros(rows, 1, tokens + new, 1), positions=positions, round=round)
        positions = positions[policy.keep(view)].view(rows, 1, tokens)
        yield positions[:, 0]


def test_half_life_of_random_at_512_is_5_2_rounds(view_of):
    """448 of 512 candidates stay, 64 recent beside them: 0.875^5.2 is a half."""
    policy = Random(budget=Budget(tokens=512, recent=64, sinks=0, interval=64))
    left = [(positions < 512).double().sum(-1).mean() / 512 for positions in live_through(view_of, policy, 6, 64)]
    # 0.875^5 = 0.513, 0.875^6 = 0.449; sd of a share about 0.003
    assert left[4] == pytest.approx(0.513, abs=0.012)
    assert left[5] == pytest.approx(0.449, abs=0.012)


def test_ages_under_random_are_geometric(view_of):
    """Of 20 candidates 15 stay, 5 are new: age a (in rounds) is found 5 * 0.75^a times a row."""
    policy = Random(budget=Budget(tokens=20, recent=5, sinks=0, interval=5))
    *_, positions = live_through(view_of, policy, 40, 1000)
    ages = (20 + 5 * 40 - 1 - positions) // 5  # 0: the recent ones
    found = torch.bincount(ages.flatten(), minlength=45)[:16]
    expected = 1000 * 5 * 0.75 ** torch.arange(16)
    assert found[0] == 5000
    assert ((found - expected).abs() < 4 * expected.sqrt())[1:].all()
