import math

import pytest
import torch
from kvarena.runners.fidelity import Drift, Means
from kvarena.runners.fidelity.drift import compare_logits


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


def test_means():
    drift = Drift.of(torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.3, -0.2, 0.5, 0.0], [0.6, 0.8, 0.75, 0.0]]))
    assert drift == Drift([0.0, 0.3, 0.6], [0.0, -0.2, 0.8], [1.0, 0.5, 0.75], [1, 2])
    means = drift.means()
    assert means == Means(kl=pytest.approx(0.3), nll=pytest.approx(0.2), mass=0.75, same=pytest.approx(1 / 3), first=1)
