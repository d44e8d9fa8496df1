"""Smoothing by rank against the releases: their slots stay as a round sorts them, and are pooled as they stand."""

import math

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.neighbours import ByPosition, ByRank
from kvarena.methods.rkv import RKV
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from torch.nn.functional import avg_pool1d, max_pool1d, normalize

RECENT, TOKENS, INTERVAL, PROMPT, ROUNDS = 3, 20, 6, 18, 5
BUDGET = Budget(tokens=TOKENS, recent=RECENT, sinks=0, interval=INTERVAL)


def window(queries, keys, width):
    """Logits [G, width, N] of the newest queries of one KV head over the candidates."""
    return queries[:, -width:].double() @ keys[:-RECENT].double().T / math.sqrt(keys.shape[-1])


def snapkv(queries, keys, values):
    attention = avg_pool1d(window(queries, keys, RECENT).softmax(-1).mean(1), 5, 1, 2).mean(0)
    return attention.argsort(descending=True)


def value_slots(queries, keys, values):
    """The five of largest range by their size, then the most attended."""
    candidates = values[:-RECENT]
    large = (candidates.amax(-1) - candidates.amin(-1)).topk(5).indices
    attention = avg_pool1d(window(queries, keys, RECENT).softmax(-1).mean(1), 5, 1, 2).mean(0)
    attention[large] = -1
    return torch.cat([large, attention.argsort(descending=True)[:-5]])


def rkv(queries, keys, values):
    attention = window(queries, keys, 2).amax(0).softmax(-1).mean(0)
    units = normalize(keys.double(), dim=-1)
    cosine = (units @ units.T).fill_diagonal_(0)
    for row in cosine:
        near = (row > 0.3).nonzero().flatten()
        row[near[-1] if len(near) else 0] = 0
    redundancy = cosine.mean(0).softmax(0)[:-RECENT]
    return (0.1 * max_pool1d(attention[None], 7, 1, 3)[0] - 0.9 * redundancy).argsort(descending=True)


def by_slots(rows, head, rule):
    """Positions that each round leaves of one head of layer 0, by a cache whose slots stay as a round sorts them."""
    queries, keys, values = (part[0] for part in rows.tape[0])
    queries, held, left = queries.unflatten(0, (2, 2))[head], list(range(PROMPT)), []
    for position in range(PROMPT, queries.shape[1]):
        held.append(position)
        if len(held) == TOKENS + INTERVAL:
            order = rule(queries[:, : position + 1], keys[head, held], values[head, held])[: TOKENS - RECENT]
            held = [held[slot] for slot in order.tolist()] + held[-RECENT:]
            left.append(sorted(held))
    return left


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        (SnapKV, snapkv),
        (lambda **own: VaSEAttnV(n_large=5, sample=False, **own), value_slots),
        (lambda **own: RKV(window=2, threshold=0.3, **own), rkv),
    ],
    ids=["snapkv", "value_slots", "rkv"],
)
def test_rounds_are_those_of_a_cache_in_score_order(feed, policy, rule):
    found = {}
    for neighbours in (ByRank(), ByPosition()):
        rows = feed(policy(budget=BUDGET, neighbours=neighbours), batch_size=1, longest_prompt=PROMPT)
        rows.admit(0, PROMPT)
        left = [[], []]
        while len(left[0]) < ROUNDS:
            rows.step()
            if rows.cache.due():
                rows.evict([0])
                for head in (0, 1):
                    left[head].append(rows.positions(0, 0, head))
        found[neighbours] = left, [by_slots(rows, head, rule) for head in (0, 1)]
    left, expected = found[ByRank()]
    assert left == expected
    left, expected = found[ByPosition()]
    assert [head[0] for head in left] == [head[0] for head in expected]  # until a round there is one order
    assert left != expected
