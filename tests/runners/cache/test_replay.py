"""A traced state shown to the method that was traced gives what it kept, and to others what they would keep."""

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.expected_attention import ExpectedAttention
from kvarena.methods.h2o import H2O
from kvarena.methods.inertia import InertiaKV
from kvarena.methods.neighbours import ByRank
from kvarena.methods.policy import Needs
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.random import Random
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV
from kvarena.methods.watched import Watched
from kvarena.methods.weight import ByOutput
from kvarena.runners.cache.replay import states
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy

BUDGET = Budget(tokens=24, recent=8, sinks=2, interval=8, protect_prompt=True)
SNAPKV, H2O_ = SnapKV(budget=BUDGET), H2O(budget=BUDGET)
METHODS = [
    SNAPKV,
    H2O_,
    Random(budget=BUDGET),
    VaSEDKV(budget=BUDGET),
    VaSEAttnV(budget=BUDGET),
    VaSEAttnV(budget=BUDGET, neighbours=ByRank()),
    AdaKV(budget=BUDGET, of=SNAPKV, alpha=0),
    Pyramid(budget=BUDGET, of=H2O_),
    Watched(budget=BUDGET, of=VaSEDKV(budget=BUDGET)),
]


@pytest.fixture
def traced(model, tmp_path):
    """traced(policy): the states of a row of 20 tokens and 59 steps."""

    def run(policy):
        decoder = Decoder(
            model=model,
            policy=policy,
            sampler=Greedy(),
            max_tokens=60,
            longest_prompt=20,
            batch_size=2,
            seed=3,
            trace=1,
            output_dir=tmp_path,
        )
        list(decoder.run([Request(name, 0, list(range(2, 22))) for name in "ab"]))
        return list(states(tmp_path / "trace/a-0.safetensors"))

    return run


@pytest.mark.parametrize("policy", METHODS, ids=lambda policy: type(policy).__name__)
def test_the_traced_method_keeps_what_it_kept(traced, policy):
    seen = traced(policy)
    assert [(state.round, state.layer) for state in seen] == [(r, layer) for r in (0, 1, 3) for layer in range(3)]
    for state in seen:
        assert (state.prompt, state.num_layers, state.lacks(policy)) == (20, 3, [])
        assert state.next == 32 + 8 * state.round
        for positions, mask, kept in zip(state.positions, state.keep(policy), state.kept, strict=True):
            assert sorted(positions[mask].tolist()) == kept[kept >= 0].tolist()


def test_what_a_watched_method_leaves_serves_every_method(traced):
    by_rank = SnapKV(budget=BUDGET, neighbours=ByRank())
    for state in traced(Watched(budget=BUDGET, of=by_rank)):
        for policy in METHODS:
            assert state.lacks(policy) == []
            tokens = policy.tokens_at(state.layer, 3, state.next)
            assert state.keep(policy).sum() == 2 * min(len(state.positions[0]), tokens)


def test_what_a_trace_lacks_is_named(traced):
    state = traced(Random(budget=BUDGET))[0]
    assert state.lacks(Watched(budget=BUDGET, of=SNAPKV)) == ["queries", "mass"]
    wider = ExpectedAttention(budget=BUDGET, window=16)
    assert Watched(budget=BUDGET, of=wider).needs == Needs(queries=16, mass=True, rotation=True)
    assert state.lacks(wider) == ["queries", "rotation"]
    assert state.lacks(H2O_) == ["mass"]
    assert state.lacks(SnapKV(budget=BUDGET, weight=ByOutput())) == ["queries", "output projection"]
    assert state.lacks(SnapKV(budget=BUDGET, neighbours=ByRank())) == ["queries", "rank"]
    assert state.later.numel() == 0
    wide = SnapKV(budget=Budget(tokens=24, recent=9, sinks=0, interval=8))
    assert traced(SNAPKV)[0].lacks(wide) == ["queries"]


def test_a_mass_of_another_decay_is_not_taken_for_it(traced):
    inertia = InertiaKV(budget=BUDGET, alpha=0.5)
    state = traced(inertia)[0]
    assert state.lacks(inertia) == []
    assert state.lacks(H2O_) == ["mass of decay 1.0"]
    assert traced(H2O_)[0].lacks(inertia) == ["mass of decay 0.5"]
    assert traced(SNAPKV)[0].lacks(inertia) == ["mass"]


def test_later_queries_are_those_of_the_next_round(traced):
    seen = traced(SNAPKV)
    assert torch.equal(seen[1].later, seen[4].queries)
    assert not torch.equal(seen[1].queries, seen[1].later)
    assert seen[-1].later.shape == (2, 2, 8, 16)  # round 3 of 0 to 5
