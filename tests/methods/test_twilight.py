import pytest
import torch
from kvarena.methods.oracle import Oracle
from kvarena.methods.quest import Quest
from kvarena.methods.twilight import Twilight

LOGS = torch.tensor([[4.0], [2], [1], [0.5], [8]]).log()  # what a query of 1 weighs the slots


@pytest.fixture
def twilight(budget):
    """Of the oracle, whose pages are single slots: it chooses the four heaviest."""
    return lambda top_p: Twilight(budget=budget(4), of=Oracle(budget=budget(9)), top_p=top_p)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.5, [4, -1, -1, -1]), (0.54, [0, 4, -1, -1]), (0.8, [0, 4, -1, -1]), (0.9, [0, 1, 4, -1]), (1.0, [0, 1, 2, 4])],
)
def test_the_fewest_slots_that_hold_top_p_are_read(twilight, view_of, top_p, expected):
    """Of 8, 4, 2 and 1 in 15: .533, .8, .933 and 1."""
    policy = twilight(top_p)
    assert policy.budget.tokens == policy.of.budget.tokens == 4
    view = view_of(policy, LOGS)
    assert sorted(policy.read(torch.ones(1, 1, 1, 1), view).flatten().tolist()) == sorted(expected)


def test_a_group_goes_by_the_mean_of_its_shares(twilight, view_of):
    """A second query sees all alike: .533 and .25, .267 and .25, ...; in the mean .392, .258, .192 and .158."""
    policy = twilight(0.6)
    read = policy.read(torch.tensor([[[[1.0], [0.0]]]]), view_of(policy, LOGS))
    assert read.flatten().tolist() == [0, 4, -1, -1]


def test_query_heads_with_lists_of_their_own_keep_what_each_needs(budget, view_of):
    policy = Twilight(budget=budget(4), of=Oracle(budget=budget(4), per_query_head=True), top_p=0.7)
    read = policy.read(torch.tensor([[[[1.0], [0.0]]]]), view_of(policy, LOGS))
    assert read.shape == (1, 1, 2, 4)
    assert read[0, 0, 0].tolist() == [0, 4, -1, -1]
    assert sorted(read[0, 0, 1].tolist())[:1] == [-1]
    assert (read[0, 0, 1] >= 0).sum() == 3  # of four alike


def test_pages_stay_whole_and_first_layers_dense(budget, view_of):
    quest = Quest(budget=budget(4), page=2, dense_layers=1)
    policy = Twilight(budget=budget(4), of=quest, top_p=0.9)
    keys = torch.tensor([[6.0], [0], [0], [0], [1]])
    assert policy.read(torch.ones(1, 1, 1, 1), view_of(policy, keys, layer=0)) is None
    # pages 0 and the last, which has one slot: e^6 and 1 against e
    assert policy.read(torch.ones(1, 1, 1, 1), view_of(policy, keys, layer=1)).flatten().tolist() == [0, -1]


@pytest.mark.parametrize("top_p", [0.0, 1.1])
def test_a_part_outside_0_1_is_refused(twilight, top_p):
    with pytest.raises(ValueError, match=f"method.top_p={top_p}: use a part above 0, at most 1"):
        twilight(top_p)
