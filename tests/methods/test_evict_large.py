from kvarena.methods.evict_large import EvictLarge


def test_the_largest_value_ranges_go(view_of, kept, budget):
    """Ranges 7, 0, 4, 1, 9 and, recent, 100; keys do not matter."""
    values = [[-2, 5], [3, 3], [0, 4], [8, 9], [-9, 0], [0, 100]]
    policy = EvictLarge(budget=budget(4))
    assert kept(policy, view_of(policy, [[0.0, 0]] * 6, values)) == [[[1, 2, 3, 5]]]
