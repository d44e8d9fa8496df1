import random
import time

import pytest
from kvarena.runners.loops import match_lengths, terminal_loop


@pytest.mark.parametrize("cut", [0, 1, 7], ids=["whole", "one_more", "seven_more"])
@pytest.mark.parametrize("period", [1, 2, 3, 16, 17, 63, 64, 65, 500, 2048])
def test_a_planted_loop_is_found(period, cut):
    """Distinct tokens, then a block of distinct tokens over and over, the last copy cut short."""
    copies = max(4, -(-64 // period))
    block = list(range(10_000, 10_000 + period))
    tokens = list(range(50)) + block * copies + block[: min(cut, period - 1)]
    assert terminal_loop(tokens) == (50, period)


def test_the_smallest_period_counts():
    assert terminal_loop([9, *[1, 2, 1, 2] * 20]) == (1, 2)


def test_onset_is_the_first_token_that_repeats():
    """The token before the first whole block already is the block's last."""
    assert terminal_loop([7, 8, 3, *[1, 2, 3] * 30]) == (2, 3)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [5],
        [5] * 63,
        [0, *([1, 2, 3, 4] * 15), 1, 2, 3],
        list(range(100)) * 3,
        list(range(100)) * 3 + list(range(99)),
        [*([1, 2] * 200), 9],
        list(range(2049)) * 4,
    ],
    ids=["empty", "one", "63_tokens", "63_tokens_of_4", "3_copies", "nearly_4", "not_at_the_end", "period_too_long"],
)
def test_no_loop(tokens):
    assert terminal_loop(tokens) is None


@pytest.mark.parametrize("vocabulary", [2, 10, 1000])
def test_random_text_has_none(vocabulary):
    numbers = random.Random(0)
    for _ in range(20):
        assert terminal_loop([numbers.randrange(vocabulary) for _ in range(3000)]) is None


def test_limits_can_be_set():
    tokens = [7, 8, *[1, 2, 3] * 3]
    assert terminal_loop(tokens, min_copies=3, min_tokens=9) == (2, 3)
    assert terminal_loop(tokens, min_copies=3, min_tokens=9, max_period=2) is None


def test_match_lengths_equal_brute_force():
    numbers = random.Random(0)
    for _ in range(50):
        tokens = [numbers.randrange(2) for _ in range(40)]
        for i, length in enumerate(match_lengths(tokens)[1:], start=1):
            expected = 0
            while i + expected < len(tokens) and tokens[expected] == tokens[i + expected]:
                expected += 1
            assert length == expected


@pytest.mark.parametrize("kind", ["constant", "loop", "random"])
def test_long_texts_are_quick(kind):
    numbers = random.Random(0)
    tokens = {
        "constant": [1] * 100_000,
        "loop": list(range(2000)) * 50,
        "random": [numbers.randrange(4) for _ in range(100_000)],
    }[kind]
    start = time.process_time()
    terminal_loop(tokens)
    assert time.process_time() - start < 2
