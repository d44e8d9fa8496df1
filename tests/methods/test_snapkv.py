import math

import pytest
import torch
from kvarena.methods.snapkv import SnapKV

# with D = 1 and one query of 1, keys that are log-weights make the attention the weights themselves
WEIGHTS = (1, 10, 2, 3, 8, 6)


@pytest.mark.parametrize(
    ("smooth", "expected"),
    [
        (1, [1, 4, 5, 6]),
        # thirds of 11, 13, 15, 13, 17, 14: slot 1 and 3 tie at 13 and slot 1 is older
        (3, [2, 4, 5, 6]),
    ],
    ids=["plain", "smoothed"],
)
def test_the_most_attended_stay(view_of, kept, budget, smooth, expected):
    policy = SnapKV(budget=budget(4), smooth=smooth)
    keys = [[math.log(weight)] for weight in (*WEIGHTS, 1000)]
    view = view_of(policy, keys, queries=[[1.0]])
    assert kept(policy, view) == [[expected]]
    shares = torch.tensor(WEIGHTS) / 30 if smooth == 1 else torch.tensor([11, 13, 15, 13, 17, 14]) / 90
    torch.testing.assert_close(policy.score(view)[0, 0, :6], shares)


def test_sinks_are_not_special_unless_the_budget_says_so(view_of, kept, budget):
    keys = [[-9.0], [2], [3], [4], [5]]
    for sinks, expected in ((0, [2, 3, 4]), (1, [0, 3, 4])):
        policy = SnapKV(budget=budget(3, sinks=sinks), smooth=1)
        assert kept(policy, view_of(policy, keys, queries=[[1.0]])) == [[expected]]


def test_group_counts_as_the_mean_of_probabilities_not_of_logits(view_of, budget):
    """Query heads of 2 and 0 over keys 0 and log 3: (1/10 + 1/2) / 2 and (9/10 + 1/2) / 2."""
    policy = SnapKV(budget=budget(2), smooth=1)
    view = view_of(policy, [[0.0], [math.log(3)], [0]], queries=[[[[[2.0]], [[0.0]]]]])
    assert policy.score(view).flatten().tolist() == pytest.approx([0.3, 0.7, 0])


def test_a_query_that_repeats_a_key_keeps_it(view_of, kept, budget, rng):
    policy = SnapKV(budget=budget(3), smooth=1)
    keys = torch.nn.functional.normalize(torch.randn(10, 8, generator=rng), dim=-1)
    assert 4 in kept(policy, view_of(policy, keys, queries=100 * keys[4:5]))[0][0]


def test_needs_the_queries_of_the_recent_slots(budget):
    assert SnapKV(budget=budget(9, recent=7)).needs.queries == 7


@pytest.mark.parametrize("smooth", [0, 2, -1])
def test_even_widths_are_refused(budget, smooth):
    with pytest.raises(ValueError, match=f"method.smooth={smooth}"):
        SnapKV(budget=budget(4), smooth=smooth)
