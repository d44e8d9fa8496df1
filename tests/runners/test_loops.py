import random
import time

import pytest
from kvarena.runners.loops import (
    distinct,
    repeated_lines,
    repetition,
    seq_rep,
    terminal_loop,
    vase_class,
    windows,
    zlib_ratios,
)
from kvarena.tasks.procedural.graph_search import GraphSearch

NUMBERS = random.Random(0)
WORDS = ["".join(NUMBERS.choices("abcdefghijklmnopqrstuvwxyz", k=NUMBERS.randint(2, 9))) for _ in range(200)]
TEXT = " ".join(WORDS)


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


def brute_force(tokens):
    for period in range(1, len(tokens)):
        match = 0
        while match + period < len(tokens) and tokens[-1 - match] == tokens[-1 - match - period]:
            match += 1
        if match + period >= max(4 * period, 16):
            return len(tokens) - match - period, period
    return None


def test_it_equals_brute_force():
    numbers = random.Random(0)
    found = 0
    for _ in range(300):
        block = [numbers.randrange(2) for _ in range(numbers.randint(1, 9))]
        tokens = [numbers.randrange(2) for _ in range(20)] + block * numbers.randint(1, 8)
        assert terminal_loop(tokens, min_tokens=16) == brute_force(tokens)
        found += brute_force(tokens) is not None
    assert 100 < found < 300


@pytest.mark.parametrize("period", [*range(1, 65), 500, 2048])
def test_a_strict_loop_needs_8_copies_and_256_tokens(period):
    copies = max(8, -(-256 // period))
    block = list(range(10_000, 10_000 + period))
    assert repetition([1, 2, 3] + block * copies, "").loop_strict
    assert not repetition([1, 2, 3] + block * (copies - 1), "").loop_strict


def test_a_healthy_chain_of_thought_has_none():
    """The chains that the generated tasks are taught with repeat phrases all the time, and end."""
    generator = GraphSearch(num_nodes=24, num_edges=32, min_chain=300, max_chain=900)
    for seed in range(100):
        words = generator.problem(seed).chain.split()
        assert terminal_loop([hash(word) for word in words]) is None
        assert not repetition([hash(word) for word in words], " ".join(words)).loop_strict


def test_distinct_and_seq_rep_by_hand():
    assert distinct([1, 2, 3, 4, 1, 2, 3, 4, 1], 4) == 4 / 6
    assert distinct([1, 1, 1], 1) == 1 / 3
    assert distinct([1, 2, 3]) == 1.0
    assert seq_rep([7, 7, 7, 7, 1, 2, 3, 4], n=2, window=4) == [pytest.approx(2 / 3), 0.0]


def test_windows_are_counted_back_from_the_end():
    assert windows("abcdefgh", 3) == ["cde", "fgh"]
    assert windows("ab", 3) == ["ab"]
    assert windows("", 3) == []


def test_the_worst_window_counts():
    tokens = [*range(2000), *([1, 2] * 256), *range(5000, 6000)]
    assert repetition(tokens, "").seq_rep_4 > 0.4
    assert seq_rep(tokens)[0] == 0
    text = TEXT[:1000] + "ab" * 500
    assert zlib_ratios(text)[0] < 2.4 < 30 < zlib_ratios(text)[1] == repetition([], text).zlib_ratio


def test_nothing_said_is_no_repetition():
    assert repetition([], "") == (False, 0.0, 1.0, 0.0, 0.0, "truncated")


def test_repeated_lines():
    assert repeated_lines("a b c\n\nd e f\n a b c \nx") == 1 / 4
    almost = "so the answer must be 12 apples in all\nso the answer must be 13 apples in all"
    assert repeated_lines(almost) == 0.5
    assert repeated_lines("so the answer is 12 apples\nthe sum of both is an even number") == 0
    assert repeated_lines("\n".join(["start", *["loop"] * 300])) == 199 / 200  # of the last 200


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a" * 300, "garbage"),
        ("ab" * 300, "phrase_loop"),
        ("aab" * 300, "garbage"),
        (TEXT + "</think>" + "Hello world!" * 5, "phrase_loop"),
        (TEXT + "</think>" + "Hello world!" * 4, "ok"),
        (TEXT + "\\boxed{42} and so on " * 6, "phrase_loop"),
        (TEXT + "Wait, let me check. " * 6, "phrase_loop"),
        (TEXT + "</think>" + "Wait, let me\ncheck. " * 6, "ok"),
        (TEXT + "</think>" + "this phrase has exactly forty-three letters" * 8, "ok"),
        (TEXT + "</think>" + "".join(chr(0x4E00 + i) for i in range(40)), "garbage"),
        ("é" * 30, "garbage"),
        (TEXT, "truncated"),
    ],
)
def test_the_second_opinion_and_its_known_errors(text, label):
    assert vase_class(text) == label


@pytest.mark.parametrize("kind", ["constant", "loop", "random"])
def test_100000_tokens_take_under_a_second(kind):
    numbers = random.Random(0)
    tokens = {
        "constant": [1] * 100_000,
        "loop": list(range(2000)) * 50,
        "random": [numbers.randrange(4) for _ in range(100_000)],
    }[kind]
    text = "\n".join(" ".join(numbers.choices(WORDS, k=12)) for _ in range(6000))
    start = time.process_time()
    terminal_loop(tokens)
    repetition(tokens, text)
    assert time.process_time() - start < 1
