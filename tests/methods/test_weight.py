import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.gkv import GKV
from kvarena.methods.neighbours import ByPosition
from kvarena.methods.rkv import RKV, RKVVaSE
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.snapkv_original import SnapKVOriginal
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.weight import ByOutput, output_norm


@pytest.mark.parametrize(
    ("first", "scores", "positions"),
    [
        # attention .1 more than it is, times .5 .5 1.5 .5 2
        (0.0, [0.25, 0.2, 0.45, 0.075, 0.3], [2, 4, 0, 5]),
        # two of the four that stay go by attention: the recent one, and the most attended, above .45 by its .4
        (0.5, [0.85, 0.2, 0.45, 0.075, 0.3], [0, 2, 4, 5]),
        (1.0, [0.85, 0.75, 0.65, 0.075, 0.3], [0, 1, 2, 5]),
    ],
)
def test_score_golden(view_of, kept, budget, first, scores, positions):
    """Attention .4 .3 .2 .05 .05; the first query head doubles a value's L1 norm, the second makes nothing of it."""
    policy = SnapKV(budget=budget(4), smooth=1, weight=ByOutput(first=first, epsilon=0.1))
    keys = torch.tensor([0.4, 0.3, 0.2, 0.05, 0.05, 1.0]).log()[:, None] * torch.tensor([2**0.5, 0])
    values = [[1, 0], [0, -1], [1, 2], [0.5, 0.5], [-2, 2], [9.0, 9.0]]
    weight = torch.tensor([[[1.0, -1, 0], [0, 0, 2]], [[0, 0, 0], [0, 0, 0]]])[None]
    view = view_of(
        policy, keys, values, queries=torch.tensor([[[1.0, 0]], [[1.0, 0]]])[None, None], output_weight=weight
    )
    assert output_norm(view).flatten().tolist() == [1, 1, 3, 1, 4, 18]
    assert policy.score(view).flatten().tolist() == pytest.approx([*scores, 0], abs=1e-6)
    assert kept(policy, view) == [[sorted(positions)]]


@pytest.fixture
def views(view_of, rng):
    """views(policy): two rows of two KV heads of three query heads, 40 slots in mixed order, a window of four."""
    keys, values = torch.randn(2, 2, 2, 40, 8, generator=rng)
    queries = torch.randn(2, 2, 3, 4, 8, generator=rng)
    positions = torch.rand(2, 2, 40, generator=rng).argsort(-1)
    weight = torch.randn(2, 3, 8, 48, generator=rng)
    given = dict(queries=queries, positions=positions, rank=positions, output_weight=weight)
    return lambda policy: view_of(policy, keys, values, **given)


def kept_by_kvpress(score, values, weight, kept: int, window: int):
    """CriticalKVPress on scores [B, H, n] by position, their window padded: [B, H, kept] positions.

    Padded above the greatest score and not with it, so that no tie decides.
    """
    score = torch.nn.functional.pad(score, (0, window), value=2 * score.max().item())
    first = score.topk(int(kept * 0.5), -1).indices
    norm = torch.stack([(values @ weight[:, g]).norm(p=1, dim=-1) for g in range(weight.shape[1])], 2).mean(2)
    score = ((score + 1e-4) * norm).scatter(-1, first, torch.finfo(score.dtype).max)
    score[..., -window:] = torch.finfo(score.dtype).max
    return score.topk(kept, -1).indices.sort(-1).values


@pytest.mark.parametrize("tokens", [9, 20, 31])
def test_keeps_what_kvpress_keeps(views, kept, tokens):
    """A first part that the window fills, and more."""
    budget = Budget(tokens=tokens, recent=4, sinks=0)
    policy, plain = SnapKV(budget=budget, weight=ByOutput()), SnapKV(budget=budget)
    view = views(policy)
    line = view.by_position
    values = view.values.gather(2, line[..., None].expand_as(view.values)).double()
    score = plain.score(view).gather(-1, line)[..., :-4].double()
    expected = kept_by_kvpress(score, values, view.output_weight.double(), tokens, 4).tolist()
    assert kept(policy, view) == expected != kept(plain, view)


@pytest.mark.parametrize("of", [SnapKV, SnapKVOriginal, RKVVaSE, RKV, GKV, VaSEAttnV], ids=lambda of: of.__name__)
def test_every_scorer_by_a_window_takes_it(views, budget, of):
    changes = dict(window=4, neighbours=ByPosition()) if issubclass(of, RKV) else {}
    plain, weighed = (of(budget=budget(20, recent=4), **changes, **w) for w in ({}, {"weight": ByOutput()}))
    assert (plain.needs.output, weighed.needs.output) == (False, True)
    view = views(weighed)
    score = weighed.importance(view)
    assert not torch.equal(score, plain.importance(view))
    assert score.isfinite().all()
    assert (score[~view.candidates] == 0).all()
    # 10 of 20 slots by attention alone, of which 4 are recent
    attention = plain.attention(view)
    top = attention.gather(-1, score.topk(6, -1).indices).sort(-1, descending=True).values
    assert torch.equal(top, attention.topk(6, -1).values)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"first": 1.5}, "method.weight.first=1.5: a part of the budget, from 0 to 1"),
        ({"epsilon": -1.0}, "method.weight.epsilon=-1.0: use 0 or more"),
        ({"first": "half"}, "method.weight.first=half: use a number"),
    ],
)
def test_what_is_out_of_range_is_refused(settings, line):
    with pytest.raises(ValueError, match=line):
        ByOutput(**settings)
