import pytest
import torch
from kvarena.methods.lagkv import LagKV


def test_score_golden(view_of, kept, budget):
    """Parts of two behind one sink; values alike, so keys decide.

    The second part's channels range over 0..2 and 0..4: (1, 2) becomes (.5, .5), no deviation, and (2, 0) becomes
    (1, 0). The third's range over 0..1 and 0..1: (0, 4) deviates more than (2, 0).
    """
    policy = LagKV(budget=budget(5, sinks=1), lag=2)
    keys = [[9, 9], [1, 2], [2, 0], [0, 4], [2, 0], [0, 1], [1.0, 0], [5, 5]]
    values = [[0, 0], [1, 2], [1, 2], [0, 0], [3, 3], [0, 0], [3, 3], [0, 0]]
    view = view_of(policy, keys, values)
    # the value of slot 3 is (0, 0), that of slot 4 (1, 1): neither deviates
    assert policy.score(view).flatten().tolist() == [1, 0, 0.5, 0.5, 0, 1, 1, 1]
    assert kept(policy, view) == [[[0, 3, 5, 6, 7]]]


def score_of_kvpress(keys, values, sinks: int, lag: int):
    """LagKVPress.score of [B, H, n, D] in one piece."""
    rows, heads, num, dim = keys.shape
    if num < sinks + 2 * lag:
        score = torch.ones(rows, heads, num)
        score[:, :, sinks:] = torch.arange(num - sinks) / (num - sinks)
        return score
    end = sinks + ((num - sinks) // lag) * lag
    states = []
    for column in (keys, values):
        target = column[:, :, sinks:end].reshape(rows, heads, -1, lag, dim)
        reference, own = target[:, :, 1:], target[:, :, :-1]
        least, greatest = reference.min(-2, keepdim=True).values, reference.max(-2, keepdim=True).values
        states.append(((own - least) / (greatest - least)).std(-1).softmax(-1))
    score = ((states[0] + states[1]) / 2).argsort(-1).argsort(-1) / lag
    tail = lag + num - end
    return torch.cat(
        [torch.ones(rows, heads, sinks), score.reshape(rows, heads, -1), torch.ones(rows, heads, tail)], -1
    )


@pytest.mark.parametrize("sinks", [0, 4])
@pytest.mark.parametrize("num", [20, 24, 26, 32, 39], ids=lambda num: f"{num}_live")
def test_is_the_arithmetic_of_kvpress(view_of, budget, rng, sinks, num):
    """Parts of eight in slots of mixed order, of which some are not live."""
    policy = LagKV(budget=budget(10, sinks=sinks), lag=8)
    keys, values = torch.randn(2, 2, 2, 40, 8, generator=rng)
    order = torch.rand(2, 2, 40, generator=rng).argsort(-1)
    positions = torch.where(order < num, order, -1)
    view = view_of(policy, keys, values, positions=positions)
    by_position = order.argsort(-1)[..., :num]
    index = by_position[..., None].expand(-1, -1, -1, 8)
    expected = score_of_kvpress(keys.gather(2, index), values.gather(2, index), sinks, 8)
    score = policy.score(view).gather(-1, by_position)
    if num < sinks + 16:
        # kvpress says by number what we leave to the rule for equals: the oldest goes
        assert (score == 1).all()
        assert (expected[..., sinks:].diff() > 0).all()
    else:
        assert torch.equal(score, expected)


@pytest.mark.parametrize(("tokens", "lag"), [(24, 6), (512, 128), (4096, 128)])
def test_the_default_lag_lets_a_budget_hold_two_parts(view_of, budget, rng, tokens, lag):
    keys = torch.randn(1, 1, 300, 4, generator=rng)
    one, other = LagKV(budget=budget(tokens)), LagKV(budget=budget(tokens), lag=lag)
    assert torch.equal(one.score(view_of(one, keys)), other.score(view_of(other, keys)))


def test_a_channel_without_a_range_counts_as_nothing(view_of, budget):
    policy = LagKV(budget=budget(5), lag=2)
    view = view_of(policy, [[1, 2], [2, 0], [3, 3], [3, 3], [3, 3.0]])
    assert policy.score(view).flatten().tolist() == [0, 0.5, 1, 1, 1]


@pytest.mark.parametrize("lag", [0, 1, -2])
def test_a_part_has_two_tokens(budget, lag):
    with pytest.raises(ValueError, match=f"method.lag={lag}: use 2 or more tokens, or null"):
        LagKV(budget=budget(5), lag=lag)
