"""The probe in closed form, by hand."""

import pytest
import torch
from kvarena.runners.readout import Ridge


def test_weights_of_two_words():
    """X = -1, 1 with a 1 beside: (X'X + n penalty I)^-1 X'Y = diag(4, 2)^-1 (-1, 1; 1, 1) at penalty 1."""
    probe = Ridge.fit(torch.tensor([[4.0], [6.0]]), torch.tensor([5, 7]), 1.0)
    assert (probe.mean.tolist(), probe.spread.tolist(), probe.words.tolist()) == ([5.0], [1.0], [5, 7])
    assert torch.allclose(probe.weight, torch.tensor([[-0.25, 0.25], [0.5, 0.5]], dtype=torch.float64))
    assert probe.read(torch.tensor([[4.5], [5.5], [100.0]])).tolist() == [5, 7, 7]


def test_it_is_the_least_of_its_loss(rng):
    features, targets = torch.randn(50, 6, generator=rng), torch.randint(3, (50,), generator=rng)
    probe = Ridge.fit(features, targets, 0.1)
    inputs = torch.cat([(features.double() - probe.mean) / probe.spread, torch.ones(50, 1).double()], 1)
    wanted = torch.nn.functional.one_hot(targets).double()
    weight = probe.weight.clone().requires_grad_()
    loss = (inputs @ weight - wanted).square().sum() + 0.1 * 50 * weight[:-1].square().sum()
    assert torch.autograd.grad(loss, weight)[0].abs().max() < 1e-9


@pytest.mark.parametrize("word", [0, 9])
def test_of_one_word_it_says_that(word):
    probe = Ridge.fit(torch.ones(4, 2), torch.full((4,), word), 0.01)
    assert probe.read(torch.zeros(1, 2)).tolist() == [word]
