"""Its rule by hand, and the identities that its definition has."""

from dataclasses import dataclass, replace

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.policy import Eviction
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.reasonalloc import ReasonAlloc
from kvarena.methods.shares import raised, robust_shares, whole_slots
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.tova import TOVA
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy

# two heads of nine slots, the newest recent: seven of the eight best scores are the first head's
SCORES = ((16, 15, 14, 13, 12, 11, 10, 1, 0), (9, 8, 7, 6, 5, 4, 3, 2, 0))


@dataclass(frozen=True, kw_only=True)
class Given(Eviction):
    scores: tuple = SCORES

    def score(self, view):
        return torch.tensor(self.scores, dtype=torch.float32)[None]


@pytest.fixture
def alloc(budget):
    """alloc(tokens, ...) around the scores above, or around `of`; a round at every step, heads looked at as often."""

    def build(tokens, *, of=None, sinks=0, recent=1, interval=1, **changes):
        own = replace(budget(tokens, sinks=sinks, recent=recent), interval=interval)
        of = of(own) if of else Given(budget=own)
        return ReasonAlloc(**dict(budget=own, of=of, period=interval) | changes)

    return build


def snapkv(budget):
    return SnapKV(budget=budget, smooth=1)


@pytest.fixture
def random_view(view_of, rng):
    """random_view(policy, ...): three heads, the attention of each more on a few slots than that of the one before."""

    def build(policy, slots=40, **changes):
        spread = torch.tensor([0.1, 1, 12]).view(1, 3, 1, 1)
        keys = torch.randn(2, 3, slots, 8, generator=rng) * spread
        queries = torch.randn(2, 3, 2, policy.budget.recent, 8, generator=rng)
        return view_of(policy, keys, queries=queries, **changes)

    return build


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # the square roots of 7 and 1 are 2.65 and 1, so 5.8 and 2.2 of 8
        ({}, [6, 2]),
        # 7 and 1 of a mean of 4: cut at 1.5 times that, 6.86 and 1.14
        ({"gamma": 1, "most": 1.5}, [7, 1]),
        # 1 is raised to 2: 7/9 and 2/9
        ({"gamma": 1, "least": 0.5}, [6, 2]),
        ({"gamma": 0}, [4, 4]),
        ({"gamma": 1, "least": 0, "most": None}, [7, 1]),
    ],
    ids=["default", "most", "least", "even", "as_they_are"],
)
def test_heads_keep_shares_of_what_their_scores_win(alloc, view_of, rule, expected):
    policy = alloc(5, mu=0, **rule)
    kept = policy.keep(view_of(policy, torch.zeros(1, 2, 9, 2))).sum(-1)
    assert (kept - 1).tolist() == [expected]  # the recent slot apart


def test_each_head_keeps_its_own_best(alloc, view_of, kept):
    policy = alloc(5, mu=0)
    assert kept(policy, view_of(policy, torch.zeros(1, 2, 9, 2))) == [[[0, 1, 2, 3, 4, 5, 8], [0, 1, 8]]]


def test_every_head_is_granted_its_floor(alloc, view_of, kept):
    """Three quarters of four are three, which the first head's lowest gives."""
    policy = alloc(5, mu=0.75)
    assert kept(policy, view_of(policy, torch.zeros(1, 2, 9, 2))) == [[[0, 1, 2, 3, 4, 8], [0, 1, 2, 8]]]


def test_between_two_looks_a_head_keeps_what_it_has(alloc, view_of):
    """Of round 0 the scores decide, of round 1 what the heads hold: nine and five slots, two to drop of each."""
    policy = alloc(5, period=2, mu=0)
    positions = torch.tensor([[list(range(9)), [0, -1, -1, 3, -1, 5, -1, 7, 8]]])
    views = [view_of(policy, torch.zeros(1, 2, 9, 2), positions=positions, excess=2, round=round) for round in range(3)]
    assert [policy.keep(view).sum(-1).tolist() for view in views] == [[[7, 3]], [[7, 3]], [[7, 3]]]
    shifted = replace(policy.of, scores=SCORES[::-1])
    other = replace(policy, of=shifted)
    assert [other.keep(view).sum(-1).tolist() for view in views] == [[[6, 4]], [[7, 3]], [[6, 4]]]


@pytest.mark.parametrize("mu", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("sinks", [0, 3])
def test_unrobust_at_every_round_it_is_adakv(alloc, random_view, mu, sinks):
    for tokens in (8, 21, 34):
        policy = alloc(tokens, of=snapkv, sinks=sinks, recent=3, gamma=1, least=0, most=None, mu=mu)
        adakv = AdaKV(budget=policy.budget, of=policy.of, alpha=mu)
        view = random_view(policy)
        assert torch.equal(policy.keep(view), adakv.keep(view))
        assert mu == 1 or policy.keep(view).sum(-1).unique().numel() > 1


@pytest.mark.parametrize("changes", [{"gamma": 0}, {"mu": 1}], ids=["gamma_0", "mu_1"])
def test_even_heads_are_the_method_itself(alloc, random_view, changes):
    policy = alloc(22, of=snapkv, recent=3, **changes)
    view = random_view(policy)
    assert torch.equal(policy.keep(view), policy.of.keep(view))


def test_without_heads_it_is_the_method_itself(alloc, random_view):
    policy = alloc(22, of=snapkv, recent=3, heads=False, period=7, demand=[1, 2, 3, 4])
    view = random_view(policy)
    assert torch.equal(policy.keep(view), policy.of.keep(view))
    assert not policy.uneven


@pytest.mark.parametrize("excess", [1, 5, 17])
def test_a_layer_keeps_exactly_its_budget(alloc, random_view, rng, excess):
    """Heads of unlike length, whatever they demand and whoever lacks what it is given."""
    for _ in range(20):
        gamma, mu, least = torch.rand(3, generator=rng).tolist()
        policy = alloc(20, of=snapkv, recent=2, gamma=gamma, mu=mu, least=least)
        gone = torch.rand(2, 3, 40, generator=rng) < torch.tensor([0.1, 0.3, 0.6]).view(3, 1)
        gone[:, :, 37:] = False
        positions = torch.arange(40).masked_fill(gone, -1)
        view = random_view(policy, positions=positions, excess=excess)
        assert torch.equal(policy.keep(view).sum((1, 2)), view.live.sum((1, 2)) - 3 * excess)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # roots 1, 2, 3, 8 of 14; 4 * 40 slots: 11.43, 22.86, 34.29, 91.43
        ({"most": None, "least": 0}, [12, 23, 34, 91]),
        # the last is cut to twice the mean of 3.5: 1, 2, 3, 7 of 13
        ({}, [12, 25, 37, 86]),
        # the first would have 2.05 slots of 1, 4, 9, 64
        ({"gamma": 1, "most": None, "least": 0}, [6, 8, 18, 128]),
        ({"gamma": 0}, [40] * 4),
    ],
    ids=["roots", "default", "floor", "even"],
)
def test_layers_have_shares_of_their_demand(alloc, changes, expected):
    policy = alloc(40, recent=5, demand=[1, 4, 9, 64], **changes)
    assert [policy.tokens(layer, 4) for layer in range(4)] == expected
    assert sum(expected) == 160


def test_layers_lend_what_they_cannot_fill_yet(alloc):
    policy = alloc(40, recent=5, demand=[1, 4, 9, 64])
    at = {length: [policy.tokens_at(layer, 4, length) for layer in range(4)] for length in (10, 40, 63, 86, 500)}
    assert at == {
        10: [40] * 4,
        40: [40] * 4,
        63: [26, 33, 38, 63],  # half way: -14, -7.5, -1.5, 23; of equal remainders the first is rounded up
        86: [12, 25, 37, 86],
        500: [12, 25, 37, 86],
    }


@pytest.mark.parametrize("seed", range(20))
def test_sums_are_exact(seed):
    rng = torch.Generator().manual_seed(seed)
    demand = torch.rand(5, 1 + seed, generator=rng) * 10 ** torch.randint(0, 6, (5, 1), generator=rng)
    total = torch.randint(0, 10**6, (5,), generator=rng)
    shares = robust_shares(demand, gamma=0.5, least=0.25, most=2.0)
    assert torch.equal(whole_slots(shares * total[:, None], total).sum(-1), total)
    assert raised(shares[0], 0.9 / (1 + seed)).min() >= 0.9 / (1 + seed) - 1e-12
    assert raised(shares[0], 0.9 / (1 + seed)).sum() == pytest.approx(1)


def test_no_demand_at_all_has_no_share():
    shares = robust_shares(torch.zeros(1, 3), gamma=0.5, least=0.25, most=2.0)
    assert whole_slots(shares * 0, torch.tensor([0])).tolist() == [[0, 0, 0]]


def test_layers_and_heads_while_it_decodes(model, alloc):
    """Three layers of two heads: sums over layers and heads at every round."""
    policy = alloc(24, of=snapkv, recent=6, interval=8, period=16, demand=[1, 4, 9])
    decoder = Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=60, longest_prompt=25, batch_size=1)
    lengths, evict = [], decoder.evict

    def watched(rows):
        evict(rows)
        lengths.append([layer.lengths[0].tolist() for layer in decoder.cache.layers])

    decoder.evict = watched
    list(decoder.run([Request("a", 0, list(range(25)))]))
    # 72 slots of roots 1, 2, 3; two thirds of the way when the sequence has 32 tokens
    assert [[sum(heads) / 2 for heads in layers] for layers in lengths] == [[16, 24, 32], *[[12, 24, 36]] * 6]
    looks = [0, 2, 4, 6]
    for round in range(2, 7):
        assert (lengths[round] == lengths[round - 1]) == (round not in looks)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gamma": 1.5}, r"method.gamma=1.5: use a number from 0 to 1"),
        ({"mu": -0.1}, r"method.mu=-0.1"),
        ({"least": 2}, r"method.least=2"),
        ({"most": 0.5}, r"method.most=0.5: use 1 or more"),
        ({"demand": [1, 0]}, r"method.demand=\[1, 0\]: each layer"),
        ({"period": 100, "interval": 64}, r"method.period=100: use a multiple of the 64 steps"),
        ({"period": 0}, r"method.period=0"),
        ({"of": lambda own: TOVA(budget=own)}, "has heads that hold alike"),
        ({"of": lambda own: AdaKV(budget=own, of=SnapKV(budget=own))}, "compete already"),
        ({"of": lambda own: Pyramid(budget=own, of=SnapKV(budget=own)), "demand": [1, 2]}, "budgets by layer of its"),
    ],
)
def test_what_cannot_work_is_refused(alloc, changes, said):
    with pytest.raises(ValueError, match=said):
        alloc(40, **changes)


def test_a_profile_of_other_layers_is_refused(alloc):
    with pytest.raises(ValueError, match="profile is of 2 layers, the model has 3"):
        alloc(40, demand=[1, 2]).tokens(0, 3)
