"""Scorers of kvpress against our own methods, in the same rounds; skipped where kvpress is not installed."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from kvarena.contract.decoding import ALL, decode, tokens_of
from kvarena.methods.budget import Budget
from kvarena.methods.curdkv import CurDKV
from kvarena.methods.expected_attention import ExpectedAttention
from kvarena.methods.keydiff import KeyDiff
from kvarena.methods.knorm import KNorm
from kvarena.methods.kvpress import KVPress
from kvarena.methods.lagkv import LagKV
from kvarena.methods.snapkv_original import SnapKVOriginal
from kvarena.methods.tova import TOVA
from torch import nn

kvpress = pytest.importorskip("kvpress")
ROUND = Budget(tokens=24, recent=8, sinks=4, interval=8)
PAIRS = {
    "knorm": (KNorm, kvpress.KnormPress),
    "keydiff": (KeyDiff, kvpress.KeyDiffPress),
    "curdkv": (CurDKV, kvpress.CURPress),
    "lagkv": (partial(LagKV, lag=8), partial(kvpress.LagKVPress, lag_size=8)),
}
LONG = 80  # tokens, above all sequences here
LOOKING = {
    "snapkv": (SnapKVOriginal, partial(kvpress.SnapKVPress, window_size=8), 9),
    "tova": (TOVA, kvpress.TOVAPress, 2),
    "expected_attention": (partial(ExpectedAttention, window=LONG), kvpress.ExpectedAttentionPress, LONG),
    "mean_query": (
        partial(ExpectedAttention, window=LONG, covariance=False, value_norm=False),
        partial(kvpress.ExpectedAttentionPress, use_covariance=False, use_vnorm=False),
        LONG,
    ),
}


@pytest.mark.parametrize("num", [24, 39])
@pytest.mark.parametrize("name", PAIRS)
def test_scores_are_those_of_our_own(view_of, rng, name, num):
    """Slots in mixed order, some of them not live; but for the sinks, which CURPress sets to 1."""
    ours, theirs = PAIRS[name]
    own, press = ours(budget=ROUND), KVPress(budget=ROUND, press=theirs())
    keys, values = torch.randn(2, 2, 2, 40, 8, generator=rng)
    order = torch.rand(2, 2, 40, generator=rng).argsort(-1)
    view = replace(view_of(own, keys, values, positions=torch.where(order < num, order, -1)), module=nn.Identity())
    older = view.live & (view.positions >= 4)
    torch.testing.assert_close(press.score(view)[older], own.score(view)[older], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_tokens_are_those_of_our_own(model, name):
    """Three prompts at once, eleven rounds."""
    ours, theirs = PAIRS[name]
    expected = tokens_of(decode(model, ours(budget=ROUND), ALL))
    assert tokens_of(decode(model, KVPress(budget=ROUND, press=theirs()), ALL)) == expected


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize("name", LOOKING)
def test_tokens_of_presses_that_look_at_hidden_states(tiny_model, name, family):
    """Windows of as many queries, which ours has from the cache and theirs makes of hidden states."""
    model, (ours, theirs, hidden) = tiny_model(family), LOOKING[name]
    expected = tokens_of(decode(model, ours(budget=ROUND), ALL))
    assert tokens_of(decode(model, KVPress(budget=ROUND, press=theirs(), hidden=hidden), ALL)) == expected


def test_a_press_that_draws(model):
    with pytest.raises(ValueError, match=r"RandomPress draws: say so, method\.draws=true"):
        decode(model, KVPress(budget=ROUND, press=kvpress.RandomPress()), ALL)
    policy = KVPress(budget=ROUND, press=kvpress.RandomPress(), draws=True)
    together = tokens_of(decode(model, policy, ALL))
    alone = tokens_of(decode(model, policy, ALL[1:2], batch_size=1))
    assert alone["short"] == together["short"]
