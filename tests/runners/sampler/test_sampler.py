import math

import pytest
import torch
from kvarena.kernels.noise import Noise
from kvarena.runners.sampler import Greedy, Sampling
from scipy import stats

# softmax: 0.4, 0.3, 0.15, 0.1, 0.05, in mixed order
SHARES = (0.1, 0.4, 0.05, 0.3, 0.15)
LOGITS = torch.tensor([[math.log(share) for share in SHARES]])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 2}, {1, 3}),
        ({"top_k": 9}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.39}, {1}),
        ({"top_p": 0.41}, {1, 3}),
        ({"top_p": 0.69}, {1, 3}),
        ({"top_p": 0.71}, {1, 3, 4}),
        ({"top_p": 1e-9}, {1}),
        # after top-k the shares are 0.4, 0.3, 0.15 of 0.85: 0.47, 0.82, 1
        ({"top_k": 3, "top_p": 0.8}, {1, 3}),
        ({"top_k": 3, "top_p": 0.83}, {1, 3, 4}),
        # squared and normalised: 0.16, 0.09, 0.0225, 0.01, 0.0025 of 0.285: 0.561, 0.877, 0.956
        ({"temperature": 0.5, "top_p": 0.86}, {1, 3}),
        ({"temperature": 0.5, "top_p": 0.89}, {1, 3, 4}),
    ],
    ids=lambda value: "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_support(changes, expected):
    support = Sampling(**changes).support(LOGITS)
    assert set(support[0].isfinite().nonzero().flatten().tolist()) == expected


def test_support_keeps_the_scaled_logits():
    support = Sampling(temperature=0.5, top_k=2).support(LOGITS)
    assert support[0].tolist() == pytest.approx([-math.inf, 2 * math.log(0.4), -math.inf, 2 * math.log(0.3), -math.inf])


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.5}, {"top_k": 3}], ids=["plain", "temperature", "top_k"])
def test_frequencies_are_the_probabilities(noise_of, changes):
    rows = 20_000
    tokens = Sampling(**changes)(LOGITS.expand(rows, -1), noise_of(rows), torch.zeros(rows, dtype=torch.long))
    weights = [share ** (1 / changes.get("temperature", 1)) for share in SHARES]
    if "top_k" in changes:
        weights = [weight if weight >= 0.15 else 0 for weight in weights]
    drawable = [i for i, weight in enumerate(weights) if weight]
    counts = tokens.bincount(minlength=5)
    assert counts[drawable].sum() == rows
    expected = [rows * weights[i] / sum(weights) for i in drawable]
    assert stats.chisquare(counts[drawable].numpy(), expected).pvalue > 1e-3


def test_a_draw_depends_on_the_key_and_step_alone(noise_of):
    logits, sampling = torch.zeros(4, 1000), Sampling()
    step = torch.tensor([5, 5, 6, 5])
    one = sampling(logits, noise_of(4), step)
    assert one.unique().numel() == 4  # other keys or steps
    chosen = torch.tensor([2, 0])
    assert torch.equal(sampling(logits[chosen], noise_of(4).rows(chosen), step[chosen]), one[chosen])
    same_row = Noise(keys=noise_of(1).keys.expand(2, 2))
    assert sampling(logits[:2], same_row, torch.tensor([5, 6])).unique().numel() == 2


def test_the_coldest_draw_is_the_largest(noise_of):
    logits = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0)) * 1e4
    tokens = Sampling(temperature=1e-30)(logits, noise_of(50), torch.zeros(50, dtype=torch.long))
    assert torch.equal(tokens, logits.argmax(-1))


def test_greedy_takes_the_largest(noise_of):
    assert Greedy()(torch.tensor([[1.0, 3, 2], [9, 0, 1]]), noise_of(2), torch.tensor([0, 0])).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"temperature": 0}, "temperature=0"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": math.inf}, "temperature=inf"),
        ({"temperature": 1e-40}, "temperature=1e-40: use 1e-30 or more, or sampler=greedy"),
        ({"temperature": "warm"}, "temperature=warm"),
        ({"temperature": True}, "temperature=true"),
        ({"top_k": 2.5}, r"top_k=2\.5"),
        ({"top_k": -1}, "top_k=-1"),
        ({"top_p": 0}, "top_p=0"),
        ({"top_p": 1.5}, "top_p=1.5"),
    ],
    ids=lambda value: "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        Sampling(**changes)
