from kvarena.methods.h2o import H2O


def test_the_heavy_hitters_stay(view_of, kept, budget):
    policy = H2O(budget=budget(4, recent=2))
    view = view_of(policy, [[0.0]] * 7, mass=[3.0, 0.5, 2.0, 0.4, 5.0, 0.1, 0.0])
    assert kept(policy, view) == [[[0, 4, 5, 6]]]


def test_asks_the_cache_for_mass(budget):
    assert H2O(budget=budget(4)).needs.mass
