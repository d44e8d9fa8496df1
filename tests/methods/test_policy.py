from dataclasses import dataclass, replace

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.policy import Eviction, Policy


@dataclass(frozen=True, kw_only=True)
class Given(Eviction):
    scores: tuple

    def score(self, view):
        return torch.tensor(self.scores, dtype=torch.float32).expand(view.positions.shape)


def test_the_lowest_evictable_scores_go(view_of, kept, budget):
    """Eight slots, five stay: 0 is a sink and 7 recent; of the others 2, 4 and then 3 (equal to 5, older) go."""
    policy = Given(scores=(0, 9, 1, 4, 2, 4, 9, 0), budget=budget(5, sinks=1))
    assert kept(policy, view_of(policy, torch.zeros(8, 2))) == [[[0, 1, 5, 6, 7]]]


def test_a_protected_prompt_stays(view_of, kept, budget):
    policy = Given(scores=(0, 0, 0, 0, 9, 9, 9, 0), budget=budget(6, protect_prompt=True))
    assert kept(policy, view_of(policy, torch.zeros(8, 2), prompt=3)) == [[[0, 1, 2, 5, 6, 7]]]
    # only 6 - 1 - 1 slots may be the prompt's
    assert kept(policy, view_of(policy, torch.zeros(8, 2), prompt=7)) == [[[0, 1, 2, 3, 6, 7]]]


def test_every_row_drops_its_own_excess(view_of, kept, budget):
    policy = Given(scores=(0, 1, 2, 3, 4, 5), budget=budget(4))
    view = replace(view_of(policy, torch.zeros(3, 1, 6, 2)), excess=torch.tensor([0, 2, 3], dtype=torch.int32))
    assert kept(policy, view) == [[[0, 1, 2, 3, 4, 5]], [[2, 3, 4, 5]], [[3, 4, 5]]]


def test_dead_slots_neither_stay_nor_count(view_of, kept, budget):
    policy = Given(scores=(-9, 3, -9, 1, 2, 5), budget=budget(3))
    assert kept(policy, view_of(policy, torch.zeros(6, 2), positions=[-1, 0, -1, 1, 2, 3])) == [[[0, 2, 3]]]


@pytest.mark.parametrize(("prompt", "slots"), [(10, 24), (20, 24), (50, 54)], ids=["short", "equal", "long"])
def test_capacity_is_the_larger_of_budget_and_prompt_plus_interval(budget, prompt, slots):
    policy = Given(scores=(), budget=replace(budget(20), interval=4))
    assert policy.capacity(0, 1, prompt) == slots


def test_a_method_without_a_budget_is_refused():
    with pytest.raises(TypeError, match="budget"):
        Given(scores=())


def test_the_base_policy_is_dense(view_of, budget):
    view = view_of(Given(scores=(), budget=budget(3)), torch.zeros(6, 2), positions=[0, 1, 2, 3, -1, -1])
    policy = Policy()
    assert policy.keep(view).tolist() == [[[True, True, True, True, False, False]]]
    assert policy.read(torch.zeros(1, 1, 1, 2), view) is None
    assert (policy.tokens(0, 1), policy.capacity(0, 1, 100)) == (None, None)
    assert policy.constants(view.keys, view.values).shape == (1, 1, 6, 0)


def test_survivors_line_up_protected_first_then_by_falling_score_then_recent(view_of, budget):
    """Slots in mixed order: positions 0 and 1 are protected, 8 and 9 recent, the last slot is not live."""
    policy = Given(scores=(5, 0, 7, -torch.inf, 0, 9, 9, torch.inf, 5, 99, 0), budget=budget(6, recent=2, sinks=2))
    positions = [3, 0, 4, 5, 9, 8, 2, 7, 6, 1, -1]
    view = view_of(policy, torch.zeros(11, 2), positions=positions)
    place = policy.survivor_order(view, policy.score(view))[0, 0].tolist()
    line = [position for _, position in sorted(zip(place, positions, strict=True))]
    assert line == [0, 1, 7, 2, 4, 3, 6, 5, 8, 9, -1]
    assert sorted(place) == list(range(11))


def test_without_rounds_while_decoding_there_is_no_bound(budget):
    policy = Given(scores=(), budget=replace(budget(20), interval=0, prefill=True))
    assert policy.capacity(0, 1, 10) is None


def test_only_a_method_with_a_rule_of_its_own_needs_a_mask(budget):
    policy = Given(scores=(), budget=budget(5))
    assert policy.by_score
    assert not AdaKV(of=policy, budget=budget(5)).by_score
