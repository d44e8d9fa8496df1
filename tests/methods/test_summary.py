import math

import pytest
import torch
from kvarena.contract.decoding import ALL, decode, tokens_of
from kvarena.contract.policies import policy_of
from kvarena.kernels.pack import Fp8
from kvarena.methods.adakv import AdaKV
from kvarena.methods.knorm import KNorm
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.summary import Summary
from kvarena.runners.cache import Shape, Storage

KEYS = [[4.0], [1], [3], [6], [2], [0]]
VALUES = [[40.0], [10], [30], [60], [20], [0]]


@pytest.fixture
def policy(budget):
    """Of the smallest keys; three slots are left, the newest among them."""
    return Summary(budget=budget(3), of=KNorm(budget=budget(9)))


def after(policy, view):
    """Of each slot: whether it stays, its bias, key and value."""
    keep = policy.keep(view)
    keys, values = policy.merge(view, keep)
    return [part[0, 0].flatten().tolist() for part in (keep, policy.weigh(view, keep), keys, values)]


def test_the_first_round_by_hand(policy, view_of):
    """The oldest gives its place and is taken up; of the others 6, 3 and 2 have the largest keys."""
    keep, bias, keys, values = after(policy, view_of(policy, KEYS, VALUES))
    assert keep == [True, True, False, False, False, True]
    assert bias == pytest.approx([math.log(4), 0, 0, 0, 0, 0])
    assert keys == pytest.approx([15 / 4, 1, 3, 6, 2, 0])
    assert values == pytest.approx([150 / 4, 10, 30, 60, 20, 0])


def test_a_later_round_by_hand(policy, view_of):
    """The summary of four has the largest key, and stays; 6, 3 and 2 join it."""
    policy_view = view_of(policy, KEYS, VALUES, bias=[math.log(4), 0, 0, 0, 0, 0])
    keep, bias, keys, values = after(policy, policy_view)
    assert keep == [True, True, False, False, False, True]
    assert bias == pytest.approx([math.log(7), 0, 0, 0, 0, 0])
    assert keys[0] == pytest.approx((4 * 4 + 3 + 6 + 2) / 7)
    assert values[0] == pytest.approx((4 * 40 + 30 + 60 + 20) / 7)


def test_means_are_those_of_all_that_went_whatever_the_rounds(policy, view_of, rng):
    """Two rounds, then one over the same tokens."""
    keys, values = torch.randn(2, 1, 1, 6, 8, generator=rng)
    view = view_of(policy, keys, values)
    gone = ~policy.keep(view)[0, 0] | policy.place(view)[0, 0]
    first = policy.merge(view, policy.keep(view))
    torch.testing.assert_close(first[0][0, 0, 0], keys[0, 0, gone].mean(0))
    torch.testing.assert_close(first[1][0, 0, 0], values[0, 0, gone].mean(0))


def test_tokens_that_are_alike_are_attended_to_as_if_none_had_gone(policy, view_of):
    """Four keys of 3, whatever their values: the summary is exact."""
    keys, values = torch.tensor([[3.0], [3], [3], [3], [1], [0]]), torch.arange(6.0)[:, None]
    view = view_of(policy, keys, values)
    keep, bias, merged, of_values = after(policy, view)
    kept = torch.tensor(keep)
    assert kept.tolist() == [True, False, False, False, True, True]
    whole = (keys[:, 0]).softmax(0) @ values[:, 0]
    part = (torch.tensor(merged)[kept] + torch.tensor(bias)[kept]).softmax(0) @ torch.tensor(of_values)[kept]
    assert part.item() == pytest.approx(whole.item())


def test_protected_tokens_are_not_taken_up(budget, view_of):
    policy = Summary(budget=budget(4, sinks=1), of=KNorm(budget=budget(9)))
    keep, bias, _, _ = after(policy, view_of(policy, KEYS, VALUES))
    assert keep == [True, True, False, False, True, True]
    assert bias == pytest.approx([0, math.log(3), 0, 0, 0, 0])


def test_nothing_goes_where_nothing_is_too_much(policy, view_of):
    assert all(after(policy, view_of(policy, KEYS, VALUES, excess=0))[0])


def test_one_slot_changes_what_is_said(model):
    tokens = [tokens_of(decode(model, policy_of(name), ALL)) for name in ("snapkv", "summary")]
    assert tokens[0] != tokens[1]


def test_heads_that_compete_are_refused(budget):
    of = AdaKV(budget=budget(4), of=KNorm(budget=budget(4)))
    with pytest.raises(ValueError, match=r"method\.of=AdaKV: a head of it may lose nothing"):
        Summary(budget=budget(4), of=of)


def test_an_allocation_around_it_is_refused(policy, budget):
    with pytest.raises(ValueError, match=r"method\.of=Summary changes what stays .* Pyramid .* use method=summary"):
        Pyramid(budget=budget(30), of=policy)


def test_a_cache_that_packs_is_refused(policy):
    with pytest.raises(ValueError, match="cache=fp8 packs what stays, and Summary writes it anew: use cache=plain"):
        Storage(keys=Fp8(), values=Fp8()).check(Shape(layers=1, heads=1, groups=1, dim=16), policy)
