"""What holds of every round of every method that evicts."""

from dataclasses import fields, replace

import pytest
import torch
from kvarena.contract.decoding import MAX_TOKENS, ROUNDS
from kvarena.contract.policies import INTERVAL, RECENT, TOKENS, policy_of, storage_of
from kvarena.contract.watching import watch
from kvarena.kernels.noise import Noise
from kvarena.methods.policy import LayerView


def test_rounds_are_those_the_trigger_predicts(watched):
    assert {done.sample: done.usage.num_evictions for done in watched.generations} == ROUNDS
    assert len(watched.after) == 3 * sum(ROUNDS.values())


def test_a_round_leaves_the_budget(watched):
    """In every layer, as the mean over its heads; the same in each of them unless they compete. And over all layers."""
    for held in watched.after:
        tokens = min(held.end, held.tokens)
        assert sum(held.lengths) == 2 * tokens
        assert watched.policy.uneven or held.lengths == [tokens, tokens]
    layers = [sum(held.lengths) for held in watched.after]
    assert [sum(layers[i : i + 3]) for i in range(0, len(layers), 3)] == [3 * 2 * TOKENS] * (len(layers) // 3)


def test_live_slots_never_exceed_the_capacity(watched):
    # longest_prompt + interval; a head that competes may keep the whole sequence
    assert watched.cache.capacity(0) == (40 + MAX_TOKENS if watched.policy.uneven else 40 + INTERVAL)
    assert watched.above_capacity == []
    peaks = {done.sample: done.usage.peak_slots for done in watched.generations}
    assert peaks == {"long": 32, "short": 32, "one": 32}


def test_survivors_are_exact_copies_and_none_is_there_twice(watched):
    for held in watched.after:
        assert held.exact or watched.policy.needs.merges
        assert [len(set(positions)) for positions in held.positions] == held.lengths


def test_sinks_and_recent_slots_survive_every_round(watched):
    for held in watched.after:
        protected = {*range(watched.policy.budget.sinks), *range(held.end - RECENT, held.end)}
        for positions in held.positions:
            assert protected <= set(positions)


def test_slot_order_does_not_change_what_is_kept(watched):
    """All slots of a head in another order, a new one for every row and head."""
    rng = torch.Generator().manual_seed(0)
    assert len(watched.views) > 5
    for view in watched.views:
        order = torch.rand(view.positions.shape, generator=rng).argsort(-1)

        def turned(column, order=order):
            if not column.numel():
                return column
            index = order.view(*order.shape, *(1,) * (column.dim() - 3)).expand_as(column)
            return column.gather(2, index)

        names = (
            "keys",
            "values",
            "positions",
            "live",
            "candidates",
            "evictable",
            "mass",
            "rank",
            "remembered",
            "bias",
            "last_used",
            "longest_gap",
            "constants",
        )
        policy, keep = watched.policy, watched.policy.keep(view)
        view_turned = replace(view, **{name: turned(getattr(view, name)) for name in names})
        keep_turned = policy.keep(view_turned)
        assert torch.equal(keep_turned, turned(keep))
        if policy.needs.bias:
            torch.testing.assert_close(policy.weigh(view_turned, keep_turned), turned(policy.weigh(view, keep)))
        if policy.needs.merges:
            for ours, theirs in zip(policy.merge(view, keep), policy.merge(view_turned, keep_turned), strict=True):
                torch.testing.assert_close(theirs, turned(ours))
        assert (keep.sum((1, 2)) == 2 * TOKENS).all()


def test_a_round_asks_nothing_of_the_device(watched):
    """On tensors without data a question to the host, or a shape that depends on values, is an error."""
    if watched.policy.needs.module:
        pytest.skip("engines that capture rounds refuse it")
    view = watched.views[0]
    parts = {field.name: getattr(view, field.name) for field in fields(LayerView)}
    tensors = {name: value.to("meta") for name, value in parts.items() if isinstance(value, torch.Tensor)}
    meta = replace(view, noise=Noise(keys=view.noise.keys.to("meta")), **tensors)
    keep = watched.policy.keep(meta)
    assert keep.shape == view.live.shape
    if watched.policy.needs.bias:
        assert watched.policy.weigh(meta, keep).shape == view.live.shape
    if watched.policy.needs.merges:
        assert [part.shape for part in watched.policy.merge(meta, keep)] == [view.keys.shape] * 2
    if watched.policy.needs.rank:
        assert watched.policy.survivor_order(meta, watched.policy.score(meta)).shape == view.live.shape


def test_nothing_to_drop_drops_nothing(watched):
    for view in watched.views:
        assert torch.equal(watched.policy.keep(replace(view, excess=torch.zeros_like(view.excess))), view.live)


def test_a_protected_prompt_survives_every_round(model, evicting):
    """Of a prompt of 30 only 24 - 8 - 1 can, or what the layer's budget leaves; one slot stays free."""
    seen = watch(model, policy_of(evicting, "method.budget.protect_prompt=true"), storage_of(evicting))
    assert {done.sample: done.usage.num_evictions for done in seen.generations} == ROUNDS
    for held in seen.after:
        for positions in held.positions:
            assert set(range(min(held.prompt, held.tokens - RECENT - 1))) <= set(positions)
        assert sum(held.lengths) == 2 * min(held.end, held.tokens)


def test_prefill_true_cuts_a_long_prompt_at_once(model, evicting):
    seen = watch(model, policy_of(evicting, "method.budget.prefill=true"), storage_of(evicting))
    first = seen.after[:3]
    merges = seen.policy.needs.merges
    assert [(held.end, held.exact or merges) for held in first] == [(30, True)] * 3
    assert [sum(held.lengths) for held in first] == [2 * min(30, held.tokens) for held in first]
    # one at once, then after 8, 16, ... 40 steps; the others as ever
    assert {done.sample: done.usage.num_evictions for done in seen.generations} == ROUNDS | {"long": 1 + 5}
