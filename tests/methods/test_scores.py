import math

import pytest
import torch
from kvarena.kernels.score import value_range
from kvarena.methods import scores
from kvarena.methods.snapkv import SnapKV
from scipy import stats


@pytest.fixture
def random_view(view_of, budget, rng):
    """Two rows, two heads of three query heads, 14 slots in mixed order (2 not live), 2 recent, a window of 4."""
    policy = SnapKV(budget=budget(8, recent=2))
    positions = torch.tensor([7, -1, 0, 3, 11, 5, 1, 9, 2, -1, 4, 10, 8, 6])
    keys, values = torch.randn(2, 2, 2, 14, 8, generator=rng)
    return view_of(policy, keys, values, queries=torch.randn(2, 2, 3, 4, 8, generator=rng), positions=positions)


def test_window_attention_is_the_mean_softmax_over_the_candidates(random_view):
    score = scores.window_attention(random_view)
    for b, h in ((0, 0), (0, 1), (1, 0), (1, 1)):
        candidates = random_view.candidates[b, h]
        assert sorted(random_view.positions[b, h][candidates].tolist()) == list(range(10))
        keys, total = random_view.keys[b, h][candidates].double(), 0
        for g in range(3):
            for w in range(4):
                total = total + (keys @ random_view.queries[b, h, g, w].double() / math.sqrt(8)).softmax(0)
        torch.testing.assert_close(score[b, h][candidates].double(), total / 12, rtol=1e-5, atol=1e-7)
        assert score[b, h][~candidates].tolist() == [0.0] * 4


def test_window_attention_by_hand(view_of, budget):
    """The scale of D = 4 is a half: a query of 2 sees logits 0 and log 3, and the recent slot takes no share."""
    keys = [[0, 0, 0, 0], [math.log(3), 0, 0, 0], [50, 0, 0, 0]]
    view = view_of(SnapKV(budget=budget(2)), keys, queries=[[2.0, 0, 0, 0]])
    assert scores.window_attention(view).flatten().tolist() == pytest.approx([0.25, 0.75, 0])


@pytest.mark.parametrize(
    ("signal", "expected"),
    [
        ([1, 1, 1, 1, 1, 1], [0.6, 0.8, 1, 1, 0.8, 0.6]),
        ([1, 0, 0, 0, 0, 0], [0.2, 0.2, 0.2, 0, 0, 0]),
    ],
    ids=["ones", "impulse"],
)
def test_smooth_golden(view_of, budget, signal, expected):
    view = view_of(SnapKV(budget=budget(4)), torch.zeros(7, 1))
    smoothed = scores.smooth(torch.tensor([[[*signal, 99.0]]]), view, view.positions, 5).flatten().tolist()
    assert smoothed == pytest.approx([*expected, 0])


def test_smooth_of_width_one_changes_nothing(random_view):
    score = scores.window_attention(random_view)
    assert torch.equal(scores.smooth(score, random_view, random_view.positions, 1), score)


def test_smooth_averages_neighbours_by_position_wherever_they_stand(view_of, budget):
    """Candidates at 10, 30, 31, 70 (gaps do not count), in mixed slots beside a dead one and the recent one."""
    view = view_of(SnapKV(budget=budget(4)), torch.zeros(6, 1), positions=[70, 10, -1, 31, 99, 30])
    signal = torch.tensor([[[8.0, 1.0, 99.0, 4.0, 99.0, 2.0]]])
    smoothed = scores.smooth(signal, view, view.positions, 3).flatten().tolist()
    assert smoothed == pytest.approx([12 / 3, 3 / 3, 0, 14 / 3, 0, 7 / 3])


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([[1, 0], [1, 0], [0, 1]], [1 / 3, 1 / 3, 0]),
        ([[2, 0], [9, 0], [0, 4]], [1 / 3, 1 / 3, 0]),
        ([[1, 0], [-1, 0], [0, 1]], [-1 / 3, -1 / 3, 0]),
    ],
    ids=["golden", "length_does_not_matter", "opposite"],
)
def test_mean_cosine_golden(view_of, budget, keys, expected):
    view = view_of(SnapKV(budget=budget(2)), [*keys, [1, 1]])
    assert scores.mean_cosine(view).flatten()[:3].tolist() == pytest.approx(expected, abs=1e-6)


def test_mean_cosine_equals_the_matrix_of_all_pairs(random_view):
    mean = scores.mean_cosine(random_view)
    for b, h in ((0, 0), (1, 1)):
        candidates = random_view.candidates[b, h]
        units = torch.nn.functional.normalize(random_view.keys[b, h][candidates].double(), dim=-1)
        pairs = (units @ units.T).fill_diagonal_(0)
        torch.testing.assert_close(mean[b, h][candidates].double(), pairs.mean(-1), rtol=1e-5, atol=1e-6)


def test_value_range_golden():
    assert value_range(torch.tensor([[[[-2.0, 0, 5, 1], [3, 3, 3, 3]]]])).tolist() == [[[7, 0]]]


def test_slot_noise_is_one_number_a_position_head_layer_and_round(view_of, budget):
    policy = SnapKV(budget=budget(4))
    positions = torch.tensor([3, 0, 4, 7, 5])
    here = view_of(policy, torch.zeros(2, 2, 5, 1), positions=positions)
    for draw in (scores.slot_uniform, scores.slot_gumbel):
        there = draw(view_of(policy, torch.zeros(2, 2, 5, 1), positions=positions[[4, 3, 2, 1, 0]]))
        assert torch.equal(draw(here), there[..., [4, 3, 2, 1, 0]])
        numbers = torch.cat(
            [
                draw(view_of(policy, torch.zeros(2, 2, 5, 1), positions=positions, round=round, layer=layer)).flatten()
                for round in (0, 1)
                for layer in (0, 1)
            ]
        )
        assert numbers.unique().numel() == 2 * 2 * 2 * 2 * 5


def test_projection_keeps_norms_on_average(view_of, budget):
    """k2 / |k|^2 of a Gaussian of rank 20 is chi-square of 20 degrees of freedom over 20."""
    rows = 2000
    view = view_of(SnapKV(budget=budget(2)), torch.zeros(rows, 1, 3, 8))
    gauss = scores.projection(view, view.round, 20)
    assert gauss.shape == (rows, 1, 8, 20)
    unit = torch.tensor([0.5, -0.5, 0.1, 0.7, 0, 0, 0, 0])
    share = (unit / unit.norm() @ gauss).square().sum(-1).flatten()
    assert stats.kstest(20 * share.double().numpy(), stats.chi2(20).cdf).pvalue > 1e-3


def test_highest_neighbour_golden(view_of, budget):
    view = view_of(SnapKV(budget=budget(4)), torch.zeros(10, 1))
    signal = torch.tensor([[[0.0, 0, 0, 0, 5, 0, 0, 0, 0, 99]]])
    assert scores.highest_neighbour(signal, view, view.positions, 7).tolist() == [[[0, 5, 5, 5, 5, 5, 5, 5, 0, 0]]]


def test_draws_by_weights_that_no_float_holds(view_of, budget):
    """Two of weights 0.4, 0.3, 0.2, 0.1 times 1e-300: inclusion is what it is without the factor."""
    rows, exact = 20_000, (0.715873, 0.608333, 0.441270, 0.234524)
    view = view_of(SnapKV(budget=budget(2)), torch.zeros(rows, 1, 4, 1))
    weights = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64).log() - 300 * math.log(10)
    score = scores.draw(weights.float().expand(rows, 1, 4), view)
    assert score.isfinite().all()
    drawn = torch.zeros(rows, 4).scatter_(1, score[:, 0].topk(2).indices, 1)
    for frequency, probability in zip(drawn.mean(0).tolist(), exact, strict=True):
        assert abs(frequency - probability) < 4 * math.sqrt(probability * (1 - probability) / rows)


def test_weights_of_zero_are_drawn_after_all_others(view_of, budget):
    view = view_of(SnapKV(budget=budget(2)), torch.zeros(500, 1, 5, 1))
    weights = torch.tensor([1e-300, 0, 1, 0, 1e-200], dtype=torch.float64)
    score = scores.draw(weights.log().float().expand(500, 1, 5), view)
    assert not score.isnan().any()
    assert (score[..., [0, 2, 4]].amin(-1) > score[..., [1, 3]].amax(-1)).all()
