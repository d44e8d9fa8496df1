import pytest
import torch
from kvarena.methods.rkv import RKVVaSE
from kvarena.methods.snapkv import SnapKV


@pytest.fixture
def keys_and_queries(rng):
    return torch.randn(2, 2, 24, 8, generator=rng), torch.randn(2, 2, 3, 4, 8, generator=rng)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([[1, 0], [1, 0], [0, 1]], [0.3681, 0.3681, 0.2638]),
        ([[1, 0], [1, 0], [1, 0], [0, 1]], [0.2773, 0.2773, 0.2773, 0.1682]),
    ],
    ids=["two_copies", "three_copies"],
)
def test_redundancy_golden(view_of, budget, keys, expected):
    policy = RKVVaSE(budget=budget(2))
    redundancy = policy.redundancy(view_of(policy, [*keys, [1, 0]], queries=[[0.0, 0]])).flatten()
    assert redundancy[:-1].tolist() == pytest.approx(expected, abs=5e-5)
    assert redundancy[-1] == 0


def test_redundancy_sums_to_one(view_of, budget, keys_and_queries):
    policy = RKVVaSE(budget=budget(10, recent=3))
    torch.testing.assert_close(policy.redundancy(view_of(policy, keys_and_queries[0])).sum(-1), torch.ones(2, 2))


def test_score_is_importance_minus_redundancy(view_of, budget):
    """A query of zeros attends alike to all three candidates: 1/3 each, not smoothed."""
    policy = RKVVaSE(budget=budget(3), lam=0.25, smooth=1)
    view = view_of(policy, [[1, 0], [1, 0], [0, 1], [1, 0]], queries=[[0.0, 0]])
    expected = [0.25 / 3 - 0.75 * redundancy for redundancy in (0.3681, 0.3681, 0.2638)]
    assert policy.score(view)[0, 0, :3].tolist() == pytest.approx(expected, abs=5e-5)


def test_of_two_copies_one_goes(view_of, kept, budget):
    policy = RKVVaSE(budget=budget(3), smooth=1)
    assert kept(policy, view_of(policy, [[0, 1], [1, 0], [1, 0], [0, 0]], queries=[[0.0, 0]])) == [[[0, 2, 3]]]


@pytest.mark.parametrize("smooth", [1, 5])
def test_lam_one_is_snapkv(view_of, kept, budget, keys_and_queries, smooth):
    keys, queries = keys_and_queries
    one, other = RKVVaSE(budget=budget(10), lam=1, smooth=smooth), SnapKV(budget=budget(10), smooth=smooth)
    assert kept(one, view_of(one, keys, queries=queries)) == kept(other, view_of(other, keys, queries=queries))


def test_lam_zero_is_keydiff(view_of, kept, budget, keys_and_queries):
    """KeyDiff by brute force: the candidates least like the mean direction stay."""
    keys, queries = keys_and_queries
    policy = RKVVaSE(budget=budget(10, recent=2), lam=0)
    units = torch.nn.functional.normalize(keys[:, :, :22].double(), dim=-1)
    likeness = torch.nn.functional.cosine_similarity(units, units.mean(2, keepdim=True), dim=-1)
    expected = [[sorted([*order[:8].tolist(), 22, 23]) for order in row] for row in likeness.argsort(-1)]
    assert kept(policy, view_of(policy, keys, queries=queries)) == expected


@pytest.mark.parametrize("lam", [-0.1, 1.1])
def test_lam_outside_0_1_is_refused(budget, lam):
    with pytest.raises(ValueError, match=f"method.lam={lam}"):
        RKVVaSE(budget=budget(4), lam=lam)
