import pytest
import torch
from kvarena.methods.quest import Quest


@pytest.fixture
def quest(budget):
    return lambda tokens, page, **changes: Quest(budget=budget(tokens), page=page, **changes)


def read(policy, view, query):
    return sorted(policy.read(torch.as_tensor(query, dtype=torch.float32), view).flatten().tolist())


def test_the_best_bounds_and_the_last_page_are_read(quest, view_of):
    """Pages of two tokens, bounds for a query of (1, -1): 9, 1, 8 (from two tokens: 5 + 3), 7, and the last -1."""
    keys = [[9, 0], [0, 0], [1, 0], [0, 0], [5, 9], [0, -3], [7, 0], [0, 5], [-1, 0]]
    policy = quest(6, 2)
    assert read(policy, view_of(policy, keys, layer=2), [[[[1, -1]]]]) == [0, 2, 4]


def test_budget_of_one_page_reads_the_last(quest, view_of):
    policy = quest(2, 2)
    assert read(policy, view_of(policy, [[9.0], [9], [0], [0], [-9]], layer=2), [[[[1.0]]]]) == [2]


def test_as_its_authors_evaluate_it_the_last_page_has_no_right_and_three_are_read(quest, view_of):
    """Bounds 9, 1, 8, 7 and -1, as above."""
    keys = [[9, 0], [0, 0], [1, 0], [0, 0], [5, 9], [0, -3], [7, 0], [0, 5], [-1, 0]]
    for tokens, expected in ((2, [0, 2, 3]), (6, [0, 2, 3]), (8, [0, 1, 2, 3])):
        policy = quest(tokens, 2, newest=False, least=3)
        assert read(policy, view_of(policy, keys, layer=2), [[[[1, -1]]]]) == expected


def test_a_short_row_reads_all_it_has(quest, view_of):
    policy = quest(6, 2)
    assert read(policy, view_of(policy, [[1.0], [2], [3], [4]], layer=2), [[[[1.0]]]]) == [0, 1]
    # the same four tokens with room for more
    roomy = view_of(
        policy, [[1.0], [2], [3], [4], [99], [99], [99], [99]], layer=2, positions=[0, 1, 2, 3, -1, -1, -1, -1]
    )
    assert read(policy, roomy, [[[[1.0]]]]) == [-1, 0, 1]


def test_first_layers_are_dense(quest, view_of):
    policy = quest(4, 2, dense_layers=1)
    keys = torch.zeros(9, 1)
    assert policy.read(torch.ones(1, 1, 1, 1), view_of(policy, keys, layer=0)) is None
    assert policy.read(torch.ones(1, 1, 1, 1), view_of(policy, keys, layer=1)).shape == (1, 1, 2)


def test_a_group_reads_by_its_largest_bound(quest, view_of):
    """Query heads of 1 and -2: bounds 8, -1, -3 and -16, 2, 6, largest 8, 2, 6 (the last page is read anyway)."""
    policy = quest(2, 1)
    view = view_of(policy, [[8.0], [-1], [-3], [0]], layer=2)
    assert read(policy, view, [[[[1.0], [-2.0]]]]) == [0, 3]


def test_page_of_one_is_the_top_by_logit(quest, view_of, rng):
    policy = quest(5, 1, dense_layers=0)
    keys, query = torch.randn(20, 8, generator=rng), torch.randn(8, generator=rng)
    best = (keys[:19] @ query).topk(4).indices
    assert read(policy, view_of(policy, keys), query.view(1, 1, 1, 8)) == sorted([*best.tolist(), 19])


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"page": 0}, "method.page=0"), ({"page": 9}, "page of 9"), ({"dense_layers": -1}, "method.dense_layers=-1")],
    ids=["page", "budget_below_page", "dense_layers"],
)
def test_what_cannot_work_is_refused(budget, changes, named):
    with pytest.raises(ValueError, match=named):
        Quest(budget=budget(8), **({"page": 4} | changes))


def test_every_query_head_reads_pages_of_its_own(quest, view_of):
    """Query heads of 1 and -2 as above: bounds 8, -1, -3 and -16, 2, 6; the second reads page 2."""
    policy = quest(2, 1, per_query_head=True)
    chosen = policy.read(torch.tensor([[[[1.0], [-2.0]]]]), view_of(policy, [[8.0], [-1], [-3], [0]], layer=2))
    assert chosen.shape == (1, 1, 2, 2)
    assert [sorted(pages) for pages in chosen[0, 0].tolist()] == [[0, 3], [2, 3]]


def test_a_short_row_of_query_heads_reads_all_it_has(quest, view_of):
    policy = quest(6, 2, per_query_head=True)
    view = view_of(policy, [[1.0], [2], [3], [99], [99], [99]], layer=2, positions=[0, 1, 2, -1, -1, -1])
    assert [sorted(pages) for pages in policy.read(torch.ones(1, 1, 2, 1), view)[0, 0].tolist()] == [[-1, 0, 1]] * 2
