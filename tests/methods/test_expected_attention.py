import math

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.expected_attention import ExpectedAttention
from kvarena.methods.scores import turned

QUARTER = math.pi / 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # logits 0, 1 + 1 / 8 and -2 + 1 / 2, and 0 of the recent slot: shares of 1, 3.080217, .223130 and 1
        ({"value_norm": False}, [0.188560, 0.580806, 0.042073, 0.188560]),
        # 0, 1, -2 and 0: e^1 = 2.718282, e^-2 = .135335
        ({"value_norm": False, "covariance": False}, [0.206032, 0.560053, 0.027883, 0.206032]),
        # norms 2, 5, 10 and 1
        ({}, [0.377121, 2.904032, 0.420735, 0.188560]),
        ({"epsilon": 0.5}, [1.377121, 5.404032, 5.420735, 0.688560]),
    ],
)
def test_score_golden(view_of, budget, settings, expected):
    """One pair of channels, a quarter turn a position, two positions ahead.

    The older query (1, 0) is (0, 1) by now, the newest is (0, 3): their mean is (0, 2). A quarter and a half turn make
    that (-1, -1) in the mean, and their deviations (-1/2, -1/2) and (1/2, 1/2). A key of channels that add up to x has
    logits of mean -x / root 2 and deviation x / (2 root 2), so of variance x x / 8.
    """
    policy = ExpectedAttention(budget=budget(3), window=2, future=2, **settings)
    x = torch.tensor([0, -(2**0.5), 2 * 2**0.5, 0])
    keys = torch.stack([x - 1, torch.ones(4)], -1)
    values = [[2, 0], [3, 4], [6, 8.0], [0, 1]]
    view = view_of(policy, keys, values, queries=[[1.0, 0], [0, 3]], frequencies=[QUARTER])
    assert policy.score(view).flatten().tolist() == pytest.approx(expected, abs=2e-6)


def rotation(frequencies, position):
    """Its R [D, D] in float64."""
    half = len(frequencies)
    cos, sin = (torch.cat([part, part]) for part in ((frequencies * position).cos(), (frequencies * position).sin()))
    swap = torch.zeros(2 * half, 2 * half, dtype=torch.float64)
    swap[half:, :half], swap[:half, half:] = torch.eye(half), -torch.eye(half)
    return torch.diag(cos) + sin[:, None] * swap


def scores_of_kvpress(queries, keys, values, frequencies, newest: int, future: int):
    """ExpectedAttentionPress of one head's queries [W, D] before rotation, behind the sinks, at true positions."""
    mean = queries.mean(0)
    centered = queries - mean
    covariance = centered.T @ centered / len(queries)
    turn = torch.stack([rotation(frequencies, newest + 1 + ahead) for ahead in range(future)]).mean(0)
    mean, covariance = turn @ mean, turn @ covariance @ turn.T
    dim = queries.shape[-1]
    logits = keys @ mean / math.sqrt(dim) + torch.einsum("ni,ij,nj->n", keys, covariance, keys) / dim / 2
    return logits.softmax(-1) * values.norm(dim=-1)


@pytest.mark.parametrize(("newest", "sinks"), [(59, 4), (59, 0), (4321, 4), (11, 4)])
def test_is_the_arithmetic_of_kvpress_at_true_positions(view_of, rng, newest, sinks):
    """A window of 16 of which, at position 11, twelve were asked and the first four do not count."""
    dim, num = 8, min(40, newest + 1)
    policy = ExpectedAttention(budget=Budget(tokens=9, recent=1, sinks=sinks), window=16, future=32)
    frequencies = 100.0 ** (-2 * torch.arange(dim // 2, dtype=torch.float64) / dim)
    positions = [
        *range(sinks),
        *sorted(torch.randperm(newest - sinks, generator=rng)[: num - sinks - 1].add(sinks).tolist()),
    ]
    positions = torch.tensor([*positions, newest])
    queries = torch.randn(2, 16, dim, generator=rng, dtype=torch.float64)  # two heads of a group
    keys, values = torch.randn(2, num, dim, generator=rng, dtype=torch.float64)
    asked = range(newest - 15, newest + 1)
    turned_queries = torch.stack([queries[:, i] @ rotation(frequencies, at).T for i, at in enumerate(asked)], 1)
    turned_queries[:, [at < 0 for at in asked]] = 0
    turned_keys = torch.stack(
        [rotation(frequencies, at) @ key for at, key in zip(positions.tolist(), keys, strict=True)]
    )
    counted = [i for i, at in enumerate(asked) if at >= sinks]
    behind = turned_keys[sinks:], values[sinks:]
    expected = sum(scores_of_kvpress(q[counted], *behind, frequencies, newest, 32) for q in queries) / 2
    view = view_of(
        policy,
        turned_keys.float(),
        values.float(),
        queries=turned_queries.float()[None, None],
        positions=positions,
        frequencies=frequencies.float().tolist(),
    )
    torch.testing.assert_close(policy.score(view)[0, 0, sinks:].double(), expected, rtol=1e-3, atol=1e-6)


def test_turned_golden():
    """Channels 0 and 2 by a quarter, 1 and 3 by a half."""
    angles = torch.tensor([QUARTER, 2 * QUARTER])
    vector = turned(torch.tensor([1.0, 2, 3, 4]), angles.cos(), angles.sin())
    assert vector.tolist() == pytest.approx([-3, -2, 1, -4], abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"window": 0}, "method.window=0: use 1 or more tokens"),
        ({"future": -1}, "method.future=-1: use 1 or more tokens"),
        ({"epsilon": -0.1}, "method.epsilon=-0.1: use 0 or more"),
    ],
)
def test_what_is_out_of_range_is_refused(budget, settings, line):
    with pytest.raises(ValueError, match=line):
        ExpectedAttention(budget=budget(4), **settings)
