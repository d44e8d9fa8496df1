import math

import pytest
import torch
from kvarena.methods.scorer import untrained
from kvarena.runners.foresight import agreement, train_scorer
from kvarena.runners.foresight.train import as_they_are, moments, pair_loss, rate, scores_of


def test_pair_loss_golden():
    """Worth 3, 1, 1 and none; scores 0, 0.5 and 0.002: hinges 0.51 and 0.012; another head has no pair."""
    worth = torch.tensor([[3.0, 1, 1, math.nan], [2, 2, 2, math.nan]]).view(1, 1, 2, 4)
    scores = torch.tensor([[0.0, 0.5, 0.002, 9], [1, 2, 3, 9]]).view(1, 1, 2, 4)
    assert pair_loss(scores, worth).item() == pytest.approx((0.51 + 0.012) / 2 / 2)
    assert agreement(scores, worth) == 0
    assert agreement(-scores, worth) == 1
    assert agreement(torch.tensor([0.01, 0.5, -1, 9]).view(1, 1, 1, 4), worth[:, :, :1]) == 0.5


def test_rate_rises_and_falls():
    assert [rate(step, 110) for step in (0, 9, 10, 60)] == pytest.approx([0.1, 1, 1, 0.5])
    assert rate(109, 110) < 0.001


def test_a_network_learns_what_is_worth(rng):
    """The second of five features, of unlike sizes, the other way round in the second head; and not of empty places."""
    sizes = torch.tensor([100.0, 0.01, 1, 1, 5])
    seen = torch.randn(40, 1, 2, 24, 5, generator=rng) * sizes + 3 * sizes
    worth = seen[..., 1] * torch.tensor([1.0, -1])[:, None]
    worth[..., 20:] = math.nan
    seen[..., 20:, :] = 0
    trained = train_scorer(seen[:30], worth[:30], steps=150, batch=8)
    assert agreement(scores_of(trained, seen[30:]), worth[30:]) > 0.95
    assert agreement(scores_of(untrained(1, 2, 5, torch.device("cpu")), seen[30:]), worth[30:]) < 0.8
    again = train_scorer(seen[:30], worth[:30], steps=150, batch=8)
    assert torch.equal(trained.weight_in, again.weight_in)


def test_what_was_learned_of_scaled_features_takes_plain_ones(rng):
    network = untrained(2, 3, 5, torch.device("cpu"))
    seen = torch.randn(4, 2, 3, 6, 5, generator=rng) * 7 + 2
    mean, deviation = moments(seen, torch.zeros(4, 2, 3, 6))
    scaled = scores_of(network, (seen - mean) / deviation)
    torch.testing.assert_close(scores_of(as_they_are(network, mean, deviation), seen), scaled, rtol=1e-4, atol=1e-5)
