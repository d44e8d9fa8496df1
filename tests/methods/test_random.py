import torch
from kvarena.methods.random import Random
from scipy import stats

ROWS, HEADS, SLOTS, TOKENS, RECENT, SINKS = 1000, 4, 20, 12, 2, 2
FREE, STAY = SLOTS - RECENT - SINKS, TOKENS - RECENT - SINKS  # 16 slots, of which 8 stay


def survivors(view_of, budget, **changes):
    """[rows, heads, free slots] bool after one round."""
    policy = Random(budget=budget(TOKENS, recent=RECENT, sinks=SINKS))
    keep = policy.keep(view_of(policy, torch.zeros(ROWS, HEADS, SLOTS, 1), **changes))
    assert keep[..., :SINKS].all()
    assert keep[..., -RECENT:].all()
    assert (keep.sum(-1) == TOKENS).all()
    return keep[..., SINKS:-RECENT]


def test_every_unprotected_slot_is_as_likely_to_stay(view_of, budget):
    counts = survivors(view_of, budget).sum((0, 1)).double()
    expected = ROWS * HEADS * STAY / FREE
    # a fixed number of survivors shrinks the variance of a count by (FREE - STAY) / FREE * FREE / (FREE - 1)
    chi2 = ((counts - expected) ** 2).sum() / (expected * (FREE - STAY) / (FREE - 1))
    assert 1e-3 < stats.chi2.sf(chi2.item(), FREE - 1) < 1 - 1e-3


def test_heads_draw_independently(view_of, budget):
    keep = survivors(view_of, budget)
    for one in range(HEADS):
        for other in range(one):
            both = (keep[:, one] & keep[:, other]).sum(-1).double()
            # hypergeometric: 8 of 16 against 8 of 16
            assert abs(both.mean().item() - 4.0) < 4 * (16 / 15 / ROWS) ** 0.5


def test_rows_rounds_and_layers_draw_anew(view_of, budget):
    keep = survivors(view_of, budget)
    assert not torch.equal(keep[0], keep[1])
    for changes in ({"round": 1}, {"layer": 1}, {"seed": 1}):
        both = (keep & survivors(view_of, budget, **changes)).sum(-1).double().mean().item()
        assert abs(both - 4.0) < 0.1
    assert torch.equal(keep, survivors(view_of, budget))


def test_survival_law(view_of, budget):
    """After t rounds that each keep 8 of 16 (8 new ones between), a slot is there with probability 2^-t."""
    policy = Random(budget=budget(10, recent=2))
    positions = torch.arange(18).expand(ROWS, 1, 18)
    left = []
    for round in range(3):
        view = view_of(policy, torch.zeros(ROWS, 1, 18, 1), positions=positions, round=round)
        stay = positions[policy.keep(view)].view(ROWS, 1, 10)
        left.append((stay < 16).sum().item() / (16 * ROWS))
        positions = torch.cat([stay, (torch.arange(8) + 18 + 8 * round).expand(ROWS, 1, 8)], -1)
    for t, share in enumerate(left, start=1):
        assert abs(share - 2**-t) < 4 * (2**-t / (16 * ROWS)) ** 0.5


def test_a_prompt_above_the_budget_leaves_one_free_slot(view_of, kept, budget):
    """Random Attention with 12 tokens, 2 recent: of a prompt of 15 the oldest 9 stay, and one of the next 9 slots."""
    policy = Random(budget=budget(TOKENS, recent=RECENT, protect_prompt=True))
    view = view_of(policy, torch.zeros(50, 1, SLOTS, 1), prompt=15)
    chosen = set()
    for (positions,) in kept(policy, view):
        assert positions[:9] == list(range(9))
        assert positions[10:] == [18, 19]
        chosen.add(positions[9])
    assert chosen == set(range(9, 18))


def test_a_protected_prompt_of_nothing_is_no_protection(view_of, kept, budget):
    one, other = (Random(budget=budget(6, sinks=2, protect_prompt=protect)) for protect in (False, True))
    keys = torch.zeros(3, 2, 12, 1)
    assert kept(one, view_of(one, keys)) == kept(other, view_of(other, keys))


def test_the_draw_belongs_to_the_position_not_to_the_slot(view_of, budget, kept):
    policy = Random(budget=budget(6, recent=1))
    straight = view_of(policy, torch.zeros(1, 3, 12, 1))
    turned = view_of(policy, torch.zeros(1, 3, 12, 1), positions=torch.arange(11, -1, -1))
    assert kept(policy, straight) == kept(policy, turned)


def test_heads_may_share_one_draw(view_of, kept, budget):
    """And with one head it is the draw that it would have had."""
    shared, own = (Random(budget=budget(6), shared_heads=shared_heads) for shared_heads in (True, False))
    first, second = kept(shared, view_of(shared, torch.zeros(2, 3, 12, 1)))
    assert first[0] == first[1] == first[2] != second[0]
    assert second[0] == second[1] == second[2]
    alone = kept(own, view_of(own, torch.zeros(2, 1, 12, 1)))
    assert alone == [[first[0]], [second[0]]]
    assert len({tuple(head) for head in kept(own, view_of(own, torch.zeros(1, 3, 12, 1)))[0]}) == 3
