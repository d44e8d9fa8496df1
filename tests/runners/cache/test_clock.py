from dataclasses import dataclass
from itertools import pairwise

import pytest
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import Clock


def clock_of(prompt, num_layers=1, policy=StreamingLLM, **budget):
    return Clock(policy=policy(budget=Budget(**budget)), num_layers=num_layers, prompt=prompt)


def rounds(clock, steps):
    """[(step, resident slots before, dropped), ...] of the evictions within so many steps."""
    found = []
    for step in range(1, steps + 1):
        clock.step()
        if clock.due:
            found.append((step, clock.resident[0], clock.excess(0)))
            clock.evicted()
    return found


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (100, [(92, 192, 64), (156, 192, 64), (220, 192, 64)]),
        (300, [(20, 320, 192), (84, 192, 64), (148, 192, 64), (212, 192, 64)]),
        (128, [(64, 192, 64), (128, 192, 64), (192, 192, 64)]),
    ],
    ids=["below_budget", "above_budget", "equal"],
)
def test_golden_triggers(prompt, expected):
    """Budget 128, one eviction every 64 steps."""
    clock = clock_of(prompt, tokens=128)
    assert rounds(clock, 230) == expected
    assert clock.round == len(expected)
    assert clock.position == prompt + 230


def test_budget_need_not_be_a_multiple_of_the_interval():
    """Budget 10, interval 4: due at 14 resident."""
    assert rounds(clock_of(3, tokens=10, recent=2, interval=4), 20) == [(11, 14, 4), (15, 14, 4), (19, 14, 4)]


def test_without_an_interval_only_the_prompt_is_cut():
    clock = clock_of(30, tokens=20, recent=8, sinks=0, interval=0, prefill=True)
    assert (clock.due, clock.excess(0)) == (True, 10)
    clock.evicted()
    assert rounds(clock, 50) == []
    assert clock.resident == [70]


def test_recent_and_interval_are_independent():
    assert rounds(clock_of(10, tokens=10, recent=8, sinks=0, interval=1), 3) == [(1, 11, 1), (2, 11, 1), (3, 11, 1)]


@pytest.mark.parametrize(
    ("prompt", "prefill", "due"),
    [(30, False, False), (30, True, True), (10, True, False), (11, True, True), (14, False, False)],
    ids=["off", "on", "on_and_fits", "on_and_one_over", "off_though_over_by_an_interval"],
)
def test_due_right_after_the_prompt_only_if_the_budget_says_so(prompt, prefill, due):
    clock = clock_of(prompt, tokens=10, recent=2, interval=4, prefill=prefill)
    assert clock.due is due
    if due:
        clock.evicted()
        assert clock.resident == [10]
        assert rounds(clock, 8) == [(4, 14, 4), (8, 14, 4)]


def test_dense_is_never_due():
    clock = Clock(policy=Full(), num_layers=1, prompt=500)
    assert rounds(clock, 300) == []
    assert (clock.peak_slots, clock.excess(0)) == (800, 0)


def test_peak_and_mean_slots():
    """Budget 10, interval 4, prompt 8: 9 10 11 12 13 14 | 11 12 13."""
    clock = clock_of(8, tokens=10, recent=2, interval=4)
    rounds(clock, 9)
    assert clock.peak_slots == 14
    assert clock.mean_slots == pytest.approx((9 + 10 + 11 + 12 + 13 + 14 + 11 + 12 + 13) / 9)


def test_a_long_prompt_is_its_own_peak():
    clock = clock_of(99, tokens=10, recent=2, interval=4, prefill=True)
    assert (clock.peak_slots, clock.mean_slots) == (99, 99)  # before the first step
    clock.evicted()
    rounds(clock, 2)
    assert (clock.peak_slots, clock.mean_slots) == (99, 11.5)


@dataclass(frozen=True, kw_only=True)
class Pyramid(StreamingLLM):
    def tokens(self, layer, num_layers):
        return (14, 6)[layer]


def test_layers_may_have_budgets_of_their_own():
    """All layers evict together, by the common budget of 10: at 14 resident the large layer has nothing to drop."""
    clock = clock_of(10, num_layers=2, policy=Pyramid, tokens=10, recent=2, interval=4)
    resident = []
    for _ in range(8):
        clock.step()
        if clock.due:
            resident.append((list(clock.resident), [clock.excess(layer) for layer in (0, 1)]))
            clock.evicted()
    assert resident == [([14, 14], [0, 8]), ([18, 10], [4, 4])]
    assert clock.resident == [14, 6]
    assert clock.peak_slots == 14


@pytest.mark.parametrize("prompt", [1, 9, 10, 11, 13, 14, 30])
@pytest.mark.parametrize("prefill", [False, True])
def test_steps_to_due_foretells_every_round(prompt, prefill):
    clock = clock_of(prompt, tokens=10, recent=2, interval=4, prefill=prefill)
    if clock.due:
        clock.evicted()
    for _ in range(5):
        steps = clock.steps_to_due
        for left in range(steps, 0, -1):
            assert (clock.steps_to_due, clock.due and clock.steps > 0) == (left, False)
            clock.step()
        assert clock.due
        clock.evicted()


def test_several_steps_at_once_count_the_same():
    one, other = clock_of(8, tokens=10, recent=2, interval=4), clock_of(8, tokens=10, recent=2, interval=4)
    for count in (1, 3, 2):
        one.step(count)
        for _ in range(count):
            other.step()
    assert one == other


def test_dense_has_no_steps_to_due():
    assert Clock(policy=Full(), num_layers=1, prompt=5).steps_to_due is None


@pytest.mark.parametrize(
    ("prompt", "budget", "expected"),
    [
        # behind the prompt and 32 recent ones: a quarter of 128, 256 and 384, and the prompt and the recent beside it
        (100, dict(recent=32, protect_prompt=True), [(160, 260, 96), (288, 292, 96), (416, 324, 96)]),
        # the prompt's tokens are as all others: of 164 - 36 a quarter, and so on
        (100, dict(recent=32, sinks=4), [(64, 164, 96), (192, 196, 96), (320, 228, 96)]),
        (0, dict(recent=8, sinks=0), [(136, 136, 96), (264, 168, 96), (392, 200, 96)]),
    ],
    ids=["protected", "sinks", "no_prompt"],
)
def test_a_share_grows_with_the_sequence(prompt, budget, expected):
    clock = clock_of(prompt, tokens=200, interval=128, share=0.25, **budget)
    assert rounds(clock, 430) == expected


def test_a_share_that_is_not_exceeded_waits_for_the_next_multiple():
    """Two recent ones beside 3 of 4, 7 of 8 (which are there), 10 of 12, 14 of 16, 18 of 20 (likewise), 21 of 24."""
    clock = clock_of(0, tokens=50, recent=2, sinks=0, interval=4, share=0.9)
    assert rounds(clock, 29) == [(6, 6, 1), (14, 13, 1), (26, 24, 1)]


def test_a_share_cuts_the_prompt_where_the_budget_says_so():
    """Of 200 - 36 = 164 tokens 41; the next round is at 256, of which 64 stay."""
    clock = clock_of(200, tokens=100, recent=32, sinks=4, interval=128, share=0.25, prefill=True)
    assert (clock.due, clock.excess(0)) == (True, 123)
    clock.evicted()
    assert rounds(clock, 100) == [(92, 169, 69)]


def test_a_share_foretells_its_rounds():
    clock = clock_of(7, tokens=50, recent=3, sinks=1, interval=8, share=0.4)
    left = []
    for _ in range(60):
        clock.step()
        left.append(clock.steps_to_due)
        if clock.due:
            clock.evicted()
    assert all(later in (steps - 1, 8) for steps, later in pairwise(left) if steps)
    assert left.count(0) == clock.round == 7


def test_a_clock_after_some_steps_is_another():
    """With the rounds between them, but not the one after the last."""
    clock = clock_of(4, tokens=6, recent=2, sinks=0, interval=2)
    then = clock.after(4)
    assert (clock.steps, clock.round, clock.eviction_steps, clock.resident) == (0, 0, [], [4])
    assert (then.steps, then.round, then.due, then.resident) == (4, 0, True, [8])
    later = clock.after(7)
    assert (later.round, later.eviction_steps, later.resident, later.peak_slots) == (2, [5, 7], [7], 8.0)
    then.evicted()
    assert (then.after(0).eviction_steps, later.eviction_steps) == ([5], [5, 7])
