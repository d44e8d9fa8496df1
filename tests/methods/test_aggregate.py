import math

import pytest
import torch
from kvarena.methods.aggregate import Defensive, Max, Mean
from kvarena.methods.gkv import GKV
from kvarena.methods.neighbours import ByPosition
from kvarena.methods.rkv import RKV, RKVVaSE
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.snapkv_original import SnapKVOriginal
from kvarena.methods.vase_attnv import VaSEAttnV

KINDS = {"mean": Mean(), "max": Max(), "defensive": Defensive()}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("mean", [0.25, 0.5, 0.15, 0.1]), ("max", [0.4, 0.7, 0.2, 0.1]), ("defensive", [0.4, 0.7, 0.35, 0.35])],
)
def test_two_queries_golden(view_of, budget, kind, expected):
    """Of their greatest shares the mean is (.4 + .7 + .2 + .1) / 4 = .35."""
    policy = SnapKV(budget=budget(2), smooth=1, aggregate=KINDS[kind])
    shares = torch.tensor([[0.1, 0.7, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1]])
    view = view_of(policy, [*shares.log().T.tolist(), [9, 9]], queries=math.sqrt(2) * torch.eye(2))
    assert policy.score(view).flatten().tolist() == pytest.approx([*expected, 0])


@pytest.mark.parametrize(
    # 8 parts of 22 are less than the mean, .422799
    ("kind", "expected"),
    [("max", [0.428571, 0.476190, 0.363636]), ("defensive", [0.428571, 0.476190, 0.422799])],
)
def test_a_smoothed_query_keeps_its_mass(view_of, budget, kind, expected):
    """Shares .8 .1 .1 become .9 1 .2 thirds, and 9 10 2 parts of 21; .2 .2 .6 become .4 1 .8, 4 10 8 parts of 22."""
    policy = SnapKV(budget=budget(2), smooth=3, aggregate=KINDS[kind])
    shares = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.2, 0.6]])
    view = view_of(policy, [*shares.log().T.tolist(), [9, 9]], queries=math.sqrt(2) * torch.eye(2))
    assert policy.score(view).flatten()[:3].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def views(view_of, rng):
    """views(policy): two rows of two KV heads of three query heads, 40 slots in mixed order, a window of four."""
    keys, values = torch.randn(2, 2, 2, 40, 8, generator=rng)
    queries = torch.randn(2, 2, 3, 4, 8, generator=rng)
    positions = torch.rand(2, 2, 40, generator=rng).argsort(-1)
    return lambda policy: view_of(policy, keys, values, queries=queries, positions=positions, rank=positions)


def scores_of_defensivekv(queries, keys, kernel: int, floor: bool):
    """Its `score` without the values' weight: queries [B, H, G, W, D], keys [B, H, n, D] by position."""
    attention = (queries @ keys[:, :, None].mT / math.sqrt(keys.shape[-1])).softmax(-1)
    base = attention.sum(-1, keepdim=True)
    flat = torch.nn.functional.avg_pool1d(attention.flatten(0, 2), kernel, padding=kernel // 2, stride=1)
    scores = flat.view_as(attention)
    scores = scores / scores.sum(-1, keepdim=True) * base
    most = scores.max(dim=2).values.max(dim=-2).values
    return most.clamp(min=most.mean(-1, keepdim=True)) if floor else most


@pytest.mark.parametrize("kind", ["max", "defensive"])
def test_is_the_arithmetic_of_defensivekv(views, budget, kind):
    policy = SnapKV(budget=budget(20, recent=4), aggregate=KINDS[kind])
    view = views(policy)
    by_position = view.by_position[..., :36]
    keys = view.keys.gather(2, by_position[..., None].expand(-1, -1, -1, 8))
    expected = scores_of_defensivekv(view.queries.double(), keys.double(), 5, kind == "defensive")
    score = policy.score(view)
    torch.testing.assert_close(score.gather(-1, by_position).double(), expected, rtol=1e-4, atol=1e-7)
    assert (score[~view.candidates] == 0).all()


@pytest.mark.parametrize("of", [SnapKV, SnapKVOriginal, RKVVaSE, RKV, GKV, VaSEAttnV], ids=lambda of: of.__name__)
def test_every_scorer_by_a_window_takes_each(views, budget, of):
    changes = dict(window=4, neighbours=ByPosition()) if issubclass(of, RKV) else {}
    policies = {kind: of(budget=budget(20, recent=4), aggregate=KINDS[kind], **changes) for kind in KINDS}
    mean, most, defensive = (policy.importance(views(policy)) for policy in policies.values())
    live = views(policies["mean"]).candidates
    # the greatest of a window is no less than its mean; what G-KV gathers is a part of the greatest either way
    assert of is GKV or (most >= mean - 1e-6).all()
    assert not torch.equal(most, mean)
    assert (defensive[live] >= most[live]).all()
    assert not torch.equal(defensive[live], most[live])


def test_the_mean_is_the_default(budget):
    assert SnapKV(budget=budget(9)).aggregate == RKV(budget=budget(20, recent=8)).aggregate == Mean()
