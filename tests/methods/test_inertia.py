from dataclasses import replace

import pytest
import torch
from kvarena.kernels import attend
from kvarena.methods.budget import Budget
from kvarena.methods.h2o import H2O
from kvarena.methods.inertia import InertiaKV
from kvarena.methods.tova import TOVA


def test_the_least_attended_go(view_of, kept, budget):
    policy = InertiaKV(budget=budget(4, recent=2))
    view = view_of(policy, [[0.0]] * 7, mass=[3.0, 0.5, 2.0, 0.4, 5.0, 0.1, 0.0])
    assert kept(policy, view) == [[[0, 4, 5, 6]]]


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [(1.0, [1.55, 1.45, 0.0]), (0.5, [0.825, 0.925, 0.0]), (0.0, [0.5, 0.5, 0.0])],
)
def test_a_step_leaves_alpha_of_what_was_there(alpha, expected):
    """Weights 4 to 1, then 1 to 3, then 1 to 1, of two live slots: .8, .25, .5 and .2, .75, .5."""
    mass = torch.zeros(1, 1, 3)
    keys = torch.tensor([[4.0, 1], [1, 3], [9, 9]]).log().view(1, 1, 3, 2)
    lengths = torch.tensor([[2]], dtype=torch.int32)
    for query in (torch.tensor([1.0, 0]), torch.tensor([0.0, 1]), torch.zeros(2)):
        query = query.view(1, 1, 1, 2)
        lse = (query @ keys[:, :, :2].mT).logsumexp(-1)
        attend.add_mass(mass, query, keys, lengths, lse, scale=1.0, decay=alpha)
    assert mass.flatten().tolist() == pytest.approx(expected)


def test_alpha_one_is_h2o_without_its_own_recent_slots(view_of, kept, budget, rng):
    inertia, h2o = InertiaKV(budget=budget(9), alpha=1), H2O(budget=budget(9))
    assert inertia.needs == h2o.needs
    keys, mass = torch.randn(2, 2, 20, 4, generator=rng), torch.rand(2, 2, 20, generator=rng)
    assert kept(inertia, view_of(inertia, keys, mass=mass)) == kept(h2o, view_of(h2o, keys, mass=mass))


def test_alpha_zero_is_tova_of_a_head(view_of, kept, budget, rng):
    inertia, tova = InertiaKV(budget=budget(8), alpha=0), TOVA(budget=budget(8))
    keys, query = torch.randn(3, 1, 20, 8, generator=rng), torch.randn(3, 1, 2, 8, generator=rng)
    lengths, mass = torch.full((3, 1), 20, dtype=torch.int32), torch.rand(3, 1, 20, generator=rng)
    lse = (query @ keys.mT / 8**0.5).logsumexp(-1)
    attend.add_mass(mass, query, keys, lengths, lse, scale=8**-0.5, decay=inertia.needs.decay)
    sets = kept(inertia, view_of(inertia, keys, mass=mass))
    assert sets == kept(tova, view_of(tova, keys, queries=query[:, :, :, None]))


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_outside_0_1_is_refused(budget, alpha):
    with pytest.raises(ValueError, match=rf"method.alpha={alpha}: use 0 \(the newest query alone\) to 1"):
        InertiaKV(budget=budget(4), alpha=alpha)


LAZY = Budget(tokens=5, recent=2, sinks=0, interval=2)
LOGS = torch.tensor([[4.0, 1], [1, 3], [1, 1], [9, 9]]).log() * 2**0.5  # the scale of two channels divides by that


def lazy_view(view_of, policy, **changed):
    """At positions 2 and 3 the queries weigh what is there 4, 1, 1 and 1, 3, 1, 9."""
    return view_of(policy, LOGS, queries=[[1.0, 0.0], [0.0, 1.0]], **changed)


def test_a_step_that_does_not_count_leaves_an_importance_as_it_was(view_of):
    policy = InertiaKV(budget=LAZY, alpha=0.5, refresh=2)
    view = lazy_view(view_of, policy, remembered=[0.4, -1.0, -1.0, -1.0])
    assert policy.remember(view).flatten().tolist() == pytest.approx([0.2 + 4 / 6, 1 / 6, 1 / 6, 0])


def test_where_every_step_counts_it_is_the_eager_form(view_of):
    policy = InertiaKV(budget=LAZY, alpha=0.5, refresh=1)
    lazy = replace(policy, refresh=3)  # of positions 2 and 3 the second
    both = lazy.remember(lazy_view(view_of, lazy, remembered=[0.4, -1.0, -1.0, -1.0]))
    assert both.flatten().tolist() == pytest.approx([0.2 + 1 / 14, 3 / 14, 1 / 14, 9 / 14])
    mass = torch.zeros(1, 1, 4)
    for step, query in ((3, [[1.0, 0.0]]), (4, [[0.0, 1.0]])):
        query, lengths = torch.tensor(query).view(1, 1, 1, 2), torch.tensor([[step]], dtype=torch.int32)
        lse = (query @ LOGS[None, None, :step].mT / 2**0.5).logsumexp(-1)
        attend.add_mass(mass, query, LOGS[None, None], lengths, lse, scale=2**-0.5, decay=0.5)
    assert mass.flatten().tolist() == pytest.approx([0.5 * 4 / 6 + 1 / 14, 0.5 / 6 + 3 / 14, 0.5 / 6 + 1 / 14, 9 / 14])


def test_score_free_asks_the_first_step_alone(view_of, kept):
    policy = InertiaKV(budget=LAZY, refresh=0)
    first = policy.remember(lazy_view(view_of, policy))
    assert first.flatten().tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6, -1])
    later = lazy_view(view_of, policy, round=1, remembered=first.flatten().tolist())
    assert torch.equal(policy.remember(later), first)
    # what has no score outlives what has one, and goes oldest first
    view = view_of(
        policy, torch.zeros(8, 2), queries=torch.zeros(2, 2), round=1, remembered=[0.5, 0.1, -1, -1, -1, -1, -1, -1]
    )
    assert kept(policy, view) == [[[3, 4, 5, 6, 7]]]


def test_a_sequence_shorter_than_the_window_has_no_other_queries(view_of):
    policy = InertiaKV(budget=Budget(tokens=5, recent=4, sinks=0, interval=4), alpha=0.5, refresh=2)
    queries = [[9.0, 9.0], [9.0, 9.0], [1.0, 0.0], [0.0, 1.0]]  # the first two are of no token
    view = view_of(policy, LOGS[:2], queries=queries)
    assert policy.remember(view).flatten().tolist() == pytest.approx(
        [1.0, 0.0]
    )  # position 0 saw itself; 1 does not count


@pytest.mark.parametrize("interval", [0, 3])
def test_a_lazy_form_needs_the_queries_since_the_last_round(interval):
    few = Budget(tokens=9, recent=2, sinks=0, interval=interval, prefill=True)
    with pytest.raises(ValueError, match=f"method.refresh=4 with budget.interval={interval} and recent=2"):
        InertiaKV(budget=few, refresh=4)
