import math

import pytest
import torch
from kvarena.methods.gathering import Blend, Peak, Total
from kvarena.methods.gkv import GKV
from kvarena.methods.rkv import RKV

GATHERINGS = {"max": Peak(), "mean": Blend(), "sum": Total()}  # as the release calls them


@pytest.mark.parametrize(
    ("gathering", "expected"), [("max", [0.8, 0.5, 1.0]), ("mean", [0.85, 0.5, 0.6]), ("sum", [1.05, 0.5, 1.4])]
)
def test_a_score_joins_the_one_before(view_of, budget, gathering, expected):
    """Shares 1, 2, 4 and 1 of 8, so .25, .5 and 1 of the greatest; slot 0 had 1, slot 1 none, slot 2 had .5."""
    policy = GKV(budget=budget(2), window=1, lam=1, gathering=GATHERINGS[gathering])
    keys = torch.tensor([1.0, 2, 4, 1]).log()[:, None]
    view = view_of(policy, keys, queries=[[1.0]], remembered=[1.0, -1, 0.5, -1])
    assert policy.remember(view).flatten().tolist() == pytest.approx([*expected, -1])
    assert policy.score(view).flatten()[:3].tolist() == pytest.approx(expected)


def test_a_group_counts_as_its_largest_probability(view_of, budget):
    """Queries of 1 and -1 over keys 0 and log 3, and 0 of the recent one: 1, 3, 1 of 5 and 3, 1, 3 of 7."""
    policy = GKV(budget=budget(2), window=1, lam=1)
    view = view_of(policy, [[0.0], [math.log(3)], [0]], queries=[[[[[1.0]], [[-1.0]]]]])
    assert policy.remember(view).flatten().tolist() == pytest.approx([5 / 7, 1, -1])


def scores_of_the_release(query, key):
    """[H, W, n - W]: its `compute_attention_scores` of query [H, G, W, D], key [H, n, D]."""
    window = query.shape[2]
    logits = query @ (key[:, None] / math.sqrt(key.shape[-1])).mT
    logits[..., -window:].masked_fill_(torch.ones(window, window).triu(1).bool(), -torch.inf)
    return logits.softmax(-1).amax(1)[..., :-window]


def redundancy_of_the_release(key):
    """[H, n]: its `cal_similarity_raw`."""
    units = key / (key.norm(dim=-1, keepdim=True) + 1e-8)
    cosine = units @ units.mT
    for matrix in cosine:
        matrix.fill_diagonal_(0)
        for row, near in zip(matrix, matrix > 0.5, strict=True):
            row[near.nonzero().max() if near.any() else 0] = 0
    return cosine.mean(1).softmax(-1)


def round_of_the_release(query, key, cached, *, how, keep, alpha=0.8, lam=0.1):
    """The slots that it keeps of the older ones, sorted, and their scores: its `update_kv` of one row, in double."""
    window, score = query.shape[2], scores_of_the_release(query, key).mean(1)
    score = score / score.amax(-1, keepdim=True)
    if cached is not None:
        held = cached.shape[-1]
        if how == "sum":
            score = torch.nn.functional.pad(cached, (0, score.shape[-1] - held)) * alpha + score
        else:
            old = torch.cat([cached, score[:, held:]], -1)
            score = old * alpha + score * (1 - alpha) if how == "mean" else torch.maximum(old * alpha, score)
    similarity = redundancy_of_the_release(key)[:, :-window]
    decides = score * lam - similarity / similarity.amax(-1, keepdim=True) * (1 - lam)
    indices = decides.topk(keep, -1).indices.sort(-1).values
    return indices, score.gather(-1, indices)


@pytest.mark.parametrize("how", GATHERINGS)
def test_three_rounds_are_those_of_the_release(view_of, budget, rng, how):
    """Two KV heads of two query heads, keys near four directions; twelve slots are left, three of them recent."""
    policy = GKV(budget=budget(12, recent=3), window=3, gathering=GATHERINGS[how])
    kept, seen = torch.empty(1, 2, 0, dtype=torch.long), torch.empty(1, 2, 0)
    keys, cached = torch.empty(1, 2, 0, 8), None
    for end in (20, 28, 36):
        new = end - 20 if kept.numel() else 0
        fresh = torch.arange(new + 12 if new else 0, end).expand(1, 2, -1)
        directions = torch.randn(4, 8, generator=rng)[fresh[0, 0] % 4]
        keys = torch.cat([keys, directions + 0.5 * torch.randn(1, 2, fresh.shape[-1], 8, generator=rng)], 2)
        positions = torch.cat([kept, fresh], -1)
        remembered = torch.cat([seen, torch.full((1, 2, positions.shape[-1] - seen.shape[-1]), -1.0)], -1)
        queries = torch.randn(1, 2, 2, 3, 8, generator=rng)
        view = view_of(policy, keys, queries=queries, positions=positions, remembered=remembered)
        indices, cached = round_of_the_release(queries[0].double(), keys[0].double(), cached, how=how, keep=9)
        keep, score = policy.keep(view), policy.remember(view)
        older = keep & view.candidates
        assert older[0].nonzero()[:, 1].view(2, 9).tolist() == indices.tolist()
        seen = score[older].view(1, 2, 9)
        torch.testing.assert_close(seen[0].double(), cached, rtol=1e-4, atol=1e-6)
        kept, keys = positions[keep].view(1, 2, 12), keys[keep].view(1, 2, 12, 8)


def test_alpha_zero_and_no_importance_is_rkvs_redundancy(view_of, kept, budget, rng):
    keys, queries = torch.randn(2, 2, 24, 4, generator=rng), torch.randn(2, 2, 2, 3, 4, generator=rng)
    gkv = GKV(budget=budget(10, recent=3), window=3, lam=0)
    rkv = RKV(budget=budget(10, recent=3), window=3, lam=0, neighbours=gkv.neighbours)
    sets = kept(gkv, view_of(gkv, keys, queries=queries, remembered=torch.rand(2, 2, 24, generator=rng)))
    assert sets == kept(rkv, view_of(rkv, keys, queries=queries))


def test_asks_for_its_own_scores(budget):
    needs = GKV(budget=budget(12, recent=9)).needs
    assert (needs.queries, needs.rank, needs.remembered) == (8, False, True)


@pytest.mark.parametrize("alpha", [-0.1, 1.1])
def test_alpha_outside_0_1_is_refused(budget, alpha):
    with pytest.raises(ValueError, match=f"method.alpha={alpha}: use 0"):
        GKV(budget=budget(12, recent=9), alpha=alpha)
