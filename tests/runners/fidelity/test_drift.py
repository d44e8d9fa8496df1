import math

import pytest
import torch
from kvarena.runners.fidelity import Drift, Means, drift
from kvarena.runners.fidelity.drift import compare_logits, compare_states


def test_of_distributions_that_are_known():
    dense = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]]).log()
    method = torch.tensor([[0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]).log()
    assert compare_logits(dense, method, torch.tensor([1, 0])).tolist() == [
        pytest.approx([0.25 * math.log(2), -math.log(2), 0.25, 0]),
        pytest.approx([math.log(2), math.log(2), 0.25, 0]),
    ]


def test_a_token_that_the_method_never_says_is_an_infinite_drift():
    dense, method = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[1.0, 0.0]]).log()
    assert compare_logits(dense, method, torch.tensor([0]))[0, 0] == math.inf


@pytest.mark.parametrize("at_a_time", [1, drift.ROWS])
def test_how_many_tokens_are_compared_at_a_time_says_nothing(monkeypatch, at_a_time):
    torch.manual_seed(0)
    head, dense = torch.nn.Linear(16, 300, bias=True), torch.randn(150, 16)
    method, tokens = dense + 0.3 * torch.randn(150, 16), torch.randint(300, (150,))
    by_eights = compare_states(head, dense, method, tokens)
    monkeypatch.setattr(drift, "IN_CACHE", at_a_time)
    other = compare_states(head, dense, method, tokens)
    assert max(by_eights.kl) > 0.01
    assert other.kl == pytest.approx(by_eights.kl, abs=2e-7)
    assert other.nll == pytest.approx(by_eights.nll, abs=2e-6)
    assert other.mass == pytest.approx(by_eights.mass, abs=2e-7)
    assert other.other == by_eights.other


def test_means():
    drift = Drift.of(torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.3, -0.2, 0.5, 0.0], [0.6, 0.8, 0.75, 0.0]]))
    assert drift == Drift([0.0, 0.3, 0.6], [0.0, -0.2, 0.8], [1.0, 0.5, 0.75], [1, 2])
    means = drift.means()
    assert means == Means(kl=pytest.approx(0.3), nll=pytest.approx(0.2), mass=0.75, same=pytest.approx(1 / 3), first=1)
