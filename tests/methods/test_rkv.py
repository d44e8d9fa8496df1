import math

import pytest
import torch
from kvarena.methods.neighbours import ByPosition, ByRank
from kvarena.methods.rkv import BLOCK, RKV, RKVVaSE
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


def forgiving(keys, order):
    """The release's redundancy of one head, entry by entry; `order` lists the slots from first to last."""
    num = len(order)
    units = torch.nn.functional.normalize(keys[order].double(), dim=-1)
    cosine = (units @ units.T).fill_diagonal_(0)
    for i in range(num):
        near = [j for j in range(num) if cosine[i, j] > 0.5]
        cosine[i, near[-1] if near else 0] = 0
    mean = torch.empty(num, dtype=torch.float64)
    mean[order] = cosine.sum(0) / num
    return mean.softmax(0)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([[1, 0], [1, 0], [0, 1]], [1 / 3, 1 / 3, 1 / 3]),
        ([[1, 0], [1, 0], [1, 0], [0, 1]], [0.3342, 0.2603, 0.2027, 0.2027]),
    ],
    ids=["two_copies", "three_copies"],
)
def test_the_newest_copy_is_forgiven(view_of, budget, keys, expected):
    policy = RKV(budget=budget(2), window=1)
    redundancy = policy.redundancy(view_of(policy, keys, queries=[[0.0, 0]], rank=range(len(keys)))).flatten()
    assert redundancy.tolist() == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("neighbours", [ByPosition(), ByRank()], ids=["position", "rank"])
def test_redundancy_of_the_release_entry_by_entry(view_of, budget, rng, neighbours):
    """Keys near three directions, more than a block of them, in mixed slots and another order of ranks."""
    policy = RKV(budget=budget(20, recent=8), neighbours=neighbours)
    num = BLOCK + 21
    keys = torch.randn(3, 6, generator=rng)[torch.arange(num) % 3] + 0.6 * torch.randn(2, num, 6, generator=rng)
    positions, rank = torch.randperm(num, generator=rng), torch.randperm(num, generator=rng)
    view = view_of(policy, keys[None], positions=positions, rank=rank)
    order = (rank if neighbours.rank else positions).argsort()
    expected = torch.stack([forgiving(head, order) for head in keys])
    torch.testing.assert_close(policy.redundancy(view)[0].double(), expected, rtol=1e-5, atol=1e-8)


def test_keys_without_a_copy_forgive_the_first_slot(view_of, budget):
    """All cosines are 0.48 or so: column 0 loses all of its sum, the others nothing."""
    policy = RKV(budget=budget(2), window=1)
    view = view_of(policy, [[1, 0, 0.0], [0.48, 0.877, 0], [0.48, 0.284, 0.83]], queries=[[0.0] * 3], rank=range(3))
    mean = torch.tensor([0.0, 0.96, 0.96]) / 3
    torch.testing.assert_close(policy.redundancy(view)[0, 0], mean.softmax(0), rtol=0, atol=2e-3)


def test_importance_of_the_release_takes_the_largest_logit_of_a_group(view_of, budget):
    """Queries of 1 and -1 over keys 0 and log 3: logits 0 and log 3 at most, so a quarter and three."""
    policy = RKV(budget=budget(2), window=1, smooth=1)
    view = view_of(policy, [[0.0], [math.log(3)], [9]], queries=[[[[[1.0]], [[-1.0]]]]], rank=range(3))
    assert policy.importance(view).flatten().tolist() == pytest.approx([0.25, 0.75, 0])


def test_importance_of_the_release_spreads_to_three_neighbours(view_of, budget):
    """Weights 1, 2, 3, 4, 20 of 30, pooled by the greatest of 7."""
    policy = RKV(budget=budget(3), window=1)
    keys = torch.tensor([1.0, 2, 3, 4, 20, 9]).log()[:, None]
    view = view_of(policy, keys, queries=[[1.0]], rank=range(6))
    assert (policy.importance(view) * 30).flatten().tolist() == pytest.approx([4, 20, 20, 20, 20, 0], rel=1e-5)


@pytest.mark.parametrize("window", [0, 9])
def test_a_window_beyond_the_recent_slots_is_refused(budget, window):
    with pytest.raises(ValueError, match=f"method.window={window}: use 1 to budget.recent=8"):
        RKV(budget=budget(20, recent=8), window=window)


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_threshold_outside_0_1_is_refused(budget, threshold):
    with pytest.raises(ValueError, match=f"method.threshold={threshold}"):
        RKV(budget=budget(20, recent=8), threshold=threshold)
