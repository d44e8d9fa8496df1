import pytest
from kvarena.methods.h2o import H2O
from kvarena.methods.streaming import StreamingLLM


def test_the_heavy_hitters_stay(view_of, kept, budget):
    policy = H2O(budget=budget(4, recent=2))
    view = view_of(policy, [[0.0]] * 7, mass=[3.0, 0.5, 2.0, 0.4, 5.0, 0.1, 0.0])
    assert kept(policy, view) == [[[0, 4, 5, 6]]]


MASS = [3.0, 0.5, 2.0, 0.4, 5.0, 0.1, 0.3, 0.0]


@pytest.mark.parametrize(
    ("n_recent", "expected"), [(0, [0, 2, 4, 7]), (1, [0, 2, 4, 7]), (2, [0, 4, 6, 7]), (3, [4, 5, 6, 7])]
)
def test_the_newest_stay_whatever_their_mass(view_of, kept, budget, n_recent, expected):
    policy = H2O(budget=budget(4, recent=1), n_recent=n_recent)
    assert kept(policy, view_of(policy, [[0.0]] * 8, mass=MASS)) == [[expected]]


def test_without_heavy_hitters_it_is_a_sliding_window(view_of, kept, budget):
    window = StreamingLLM(budget=budget(4, recent=1, sinks=0))
    policy = H2O(budget=budget(4, recent=1, sinks=0), n_recent=4)
    assert kept(policy, view_of(policy, [[0.0]] * 8, mass=MASS)) == [[[4, 5, 6, 7]]]
    assert kept(window, view_of(window, [[0.0]] * 8)) == [[[4, 5, 6, 7]]]


@pytest.mark.parametrize("n_recent", [-1, 5])
def test_no_more_than_the_budget_can_be_recent(budget, n_recent):
    with pytest.raises(ValueError, match=f"method.n_recent={n_recent}: use 0 to 4, the whole budget"):
        H2O(budget=budget(4, recent=1), n_recent=n_recent)


def test_asks_the_cache_for_mass(budget):
    assert H2O(budget=budget(4)).needs.mass
