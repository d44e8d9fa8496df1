"""Where two methods must keep, or read, the same set.

Others stand in the file of the method: R-KV with SnapKV and KeyDiff, CurDKV with VaSE-DKV and with exact norms,
VaSE-AttnV without large slots and sampling with SnapKV, AdaKV of alpha 1 with what it wraps, Random with a shared draw.
That a budget above the sequence is dense, and that nothing goes where nothing is over the budget, holds of all and
stands in test_contract.py.
"""

from dataclasses import dataclass, replace

import pytest
import torch
from kvarena.kernels.score import value_range
from kvarena.methods.adakv import AdaKV
from kvarena.methods.attn_random import AttnRandom
from kvarena.methods.h2o import H2O
from kvarena.methods.oracle import Oracle
from kvarena.methods.policy import Eviction
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.quest import Quest
from kvarena.methods.random import Random
from kvarena.methods.rkv import RKVVaSE
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.methods.tova import TOVA
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV


@dataclass(frozen=True, kw_only=True)
class LargestRanges(Eviction):
    def score(self, view):
        return value_range(view.values)


@pytest.fixture
def random_view(view_of, rng):
    """random_view(policy, ...): three rows of two heads of two query heads, 40 slots, a window of three."""
    keys, values = torch.randn(2, 3, 2, 40, 8, generator=rng)
    queries = torch.randn(3, 2, 2, 3, 8, generator=rng)
    return lambda policy, **changes: view_of(policy, keys, values, **({"queries": queries} | changes))


@pytest.fixture
def coincide(random_view, kept):
    """coincide(one, other, ...): the sets that both keep, of every row and head."""

    def check(one, other, **changes):
        sets = kept(one, random_view(one, **changes))
        assert sets == kept(other, random_view(other, **changes))
        assert len({tuple(positions) for row in sets for positions in row}) > 1 or changes
        return sets

    return check


def test_only_random_slots_is_random(coincide, budget):
    coincide(AttnRandom(budget=budget(10, recent=3), n_random=7), Random(budget=budget(10, recent=3)))


def test_no_random_slots_is_snapkv(coincide, budget):
    coincide(AttnRandom(budget=budget(10, recent=3), n_random=0), SnapKV(budget=budget(10, recent=3)))


def test_only_large_values_is_the_top_of_the_ranges(coincide, budget):
    coincide(VaSEAttnV(budget=budget(10, recent=3), n_large=7), LargestRanges(budget=budget(10, recent=3)))


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_by_weights_far_apart_is_their_top(view_of, kept, budget, seed):
    """The temperature of the sampling weights goes to 0: noise of some units against steps of 9 in log p."""
    rng = torch.Generator().manual_seed(seed)
    logits = -9 * torch.rand(3, 2, 9, generator=rng).argsort(-1)
    keys, values = logits[..., None] * torch.tensor([2**0.5, 0]), torch.randn(3, 2, 9, 2, generator=rng)
    sets = []
    for sample in True, False:
        policy = VaSEAttnV(budget=budget(6), smooth=1, n_large=2, sample=sample)
        sets.append(kept(policy, view_of(policy, keys, values, queries=[[1.0, 0]], seed=seed)))
    assert sets[0] == sets[1]
    assert sets[0][0] != sets[0][1]


@pytest.mark.parametrize("seed", range(3))
def test_a_sample_of_what_is_attended_alike_is_random(coincide, budget, seed):
    """The temperature of the attention goes to infinity: log of a constant plus Gumbel noise of the same words."""
    sets = coincide(
        VaSEAttnV(budget=budget(15, sinks=2), smooth=1, n_large=2),
        Random(budget=budget(15, sinks=2)),
        queries=torch.zeros(3, 2, 2, 3, 8),
        seed=seed,
    )
    assert sets[0][0] != sets[0][1]


def test_smoothed_the_edges_of_what_is_attended_alike_weigh_less(view_of, budget):
    """Average over five with zeros counted: 3/5 and 4/5 at the ends of what is drawn from."""
    policy = VaSEAttnV(budget=budget(2), n_large=0)
    drawn = policy.keep(view_of(policy, torch.zeros(20_000, 1, 11, 1), queries=[[0.0]]))[:, 0, :10].double().mean(0)
    weights = torch.tensor([0.6, 0.8, 1, 1, 1, 1, 1, 1, 0.8, 0.6]) / 8.8
    assert ((drawn - weights).abs() < 4 * (weights * (1 - weights) / 20_000).sqrt()).all()


def test_no_hitter_no_sink_is_a_sliding_window(coincide, budget):
    """H2O where nothing was ever attended, StreamingLLM without sinks, and the newest ten."""
    sets = coincide(H2O(budget=budget(10)), StreamingLLM(budget=budget(10)), mass=torch.zeros(40))
    assert sets == [[list(range(30, 40))] * 2] * 3


def test_quest_with_pages_of_one_is_the_oracle(view_of, budget, rng):
    """Keys of length 1 and the newest as the query, so that the slot which Quest always reads is the most attended."""
    quest = Quest(budget=budget(6), page=1, dense_layers=0, per_query_head=True)
    oracle = Oracle(budget=budget(6), per_query_head=True)
    view = view_of(quest, torch.nn.functional.normalize(torch.randn(3, 2, 40, 8, generator=rng), dim=-1))
    query = view.keys[:, :, -1:].expand(-1, -1, 2, -1) * torch.tensor([1.0, 3.0])[:, None]
    one, other = quest.read(query, view), oracle.read(query, view)
    assert one.shape == other.shape == (3, 2, 2, 6)
    assert torch.equal(one.sort(-1).values, other.sort(-1).values)
    assert one.unique().numel() > 6


def test_one_head_under_tova_is_snapkv_of_one_query(view_of, kept, budget, rng):
    """That TOVA's softmax counts the newest slot scales all others alike."""
    tova, snapkv = TOVA(budget=budget(8)), SnapKV(budget=budget(8), smooth=1)
    keys, queries = torch.randn(3, 1, 20, 8, generator=rng), torch.randn(3, 1, 1, 1, 8, generator=rng)
    assert kept(tova, view_of(tova, keys, queries=queries)) == kept(snapkv, view_of(snapkv, keys, queries=queries))


@pytest.mark.parametrize("per_query_head", [False, True])
def test_a_selection_above_the_sequence_reads_it_all(random_view, budget, per_query_head, rng):
    query = torch.randn(3, 2, 2, 8, generator=rng)
    quest = Quest(budget=budget(40), page=4, dense_layers=0, per_query_head=per_query_head)
    oracle = Oracle(budget=budget(41), per_query_head=per_query_head)
    assert (quest.read(query, random_view(quest)).sort(-1).values == torch.arange(10)).all()
    assert (oracle.read(query, random_view(oracle)).sort(-1).values == torch.arange(40)).all()


@pytest.mark.parametrize("of", [SnapKV, RKVVaSE, VaSEAttnV, VaSEDKV, Random], ids=lambda of: of.__name__)
def test_a_head_alone_competes_with_nobody(view_of, kept, budget, rng, of):
    method = of(budget=budget(10, recent=3, sinks=2))
    keys, values = torch.randn(2, 3, 1, 30, 8, generator=rng)
    queries = torch.randn(3, 1, 2, 3, 8, generator=rng)
    for alpha in (0, 0.5):
        policy = AdaKV(budget=method.budget, of=method, alpha=alpha)
        view = view_of(policy, keys, values, queries=queries)
        assert kept(policy, view) == kept(method, view)


def test_a_flat_pyramid_is_the_method(coincide, budget):
    snapkv = SnapKV(budget=budget(10, recent=3))
    pyramid = Pyramid(budget=snapkv.budget, of=snapkv, beta=1)
    coincide(pyramid, snapkv)
    assert {pyramid.tokens(layer, 8) for layer in range(8)} == {10}


@pytest.mark.parametrize("method", [Random, VaSEDKV, VaSEAttnV, SnapKV, RKVVaSE], ids=lambda method: method.__name__)
def test_a_protected_prompt_of_nothing_is_no_protection(coincide, budget, method):
    plain = method(budget=budget(10, recent=3, sinks=2))
    coincide(plain, replace(plain, budget=replace(plain.budget, protect_prompt=True)), prompt=0)
