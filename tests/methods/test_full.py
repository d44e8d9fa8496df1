from kvarena.methods.full import Full
from kvarena.methods.policy import Needs


def test_full_asks_for_nothing_and_bounds_nothing():
    policy = Full()
    assert policy.needs == Needs()
    assert (policy.evicts, policy.selects) == (False, False)
    assert (policy.tokens(0, 1), policy.capacity(0, 1, 9)) == (None, None)
