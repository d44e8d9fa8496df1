import pytest
import torch
from kvarena.methods.neighbours import ByPosition, ByRank
from kvarena.methods.snapkv import SnapKV


@pytest.mark.parametrize(
    ("neighbours", "expected"),
    [
        (ByPosition(), [11 / 3, 13 / 3, 15 / 3, 13 / 3, 17 / 3, 14 / 3]),
        # lined up by rank the weights are 8, 1, 6, 10, 3, 2
        (ByRank(), [15 / 3, 19 / 3, 5 / 3, 15 / 3, 9 / 3, 17 / 3]),
    ],
)
def test_smoothing_runs_along_the_order(view_of, budget, neighbours, expected):
    policy = SnapKV(budget=budget(4), smooth=3, neighbours=neighbours)
    keys = torch.tensor([1.0, 10, 2, 3, 8, 6, 1000]).log()[:, None]
    view = view_of(policy, keys, queries=[[1.0]], rank=[1, 3, 9, 5, 0, 2, 4])
    assert (policy.score(view) * 30).flatten().tolist() == pytest.approx([*expected, 0], abs=1e-4)


@pytest.mark.parametrize(
    ("neighbours", "smooth", "rank"),
    [(ByPosition(), 5, False), (ByRank(), 5, True), (ByRank(), 1, False)],
    ids=["position", "rank", "no_smoothing"],
)
def test_the_cache_keeps_an_order_only_where_it_is_used(budget, neighbours, smooth, rank):
    assert SnapKV(budget=budget(4), smooth=smooth, neighbours=neighbours).needs.rank == rank
