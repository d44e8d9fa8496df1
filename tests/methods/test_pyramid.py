from dataclasses import replace

import pytest
import torch
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import Clock
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy


@pytest.fixture
def pyramid(budget):
    """pyramid(tokens, ...) of StreamingLLM."""

    def build(tokens, *, beta=20, beside_recent=False, **changes):
        of = StreamingLLM(budget=budget(tokens, **changes))
        return Pyramid(budget=of.budget, of=of, beta=beta, beside_recent=beside_recent)

    return build


@pytest.mark.parametrize(
    ("tokens", "num_layers", "changes", "expected"),
    [
        # 100 // 20 = 5 and 195
        (100, 5, {}, [195, 148, 100, 52, 5]),
        (100, 2, {}, [195, 5]),
        (100, 1, {}, [100]),
        (100, 4, {"beta": 4}, [175, 125, 75, 25]),
        (100, 3, {"beta": 1}, [100, 100, 100]),
        # 30 // 20 = 1 is below 8 recent, 2 sinks and one more
        (30, 3, {"recent": 8, "sinks": 2}, [49, 30, 11]),
        (11, 3, {"recent": 8, "sinks": 2}, [11, 11, 11]),
        # of the 100 beside 16 recent ones the last has 5 and the first 195
        (116, 3, {"recent": 16}, [215, 116, 17]),
        (116, 3, {"recent": 16, "beside_recent": True}, [211, 116, 21]),
        # 22 // 20 = 1 is below 2 sinks and one more
        (30, 3, {"recent": 8, "sinks": 2, "beside_recent": True}, [49, 30, 11]),
    ],
    ids=[
        "five",
        "two",
        "one",
        "beta_4",
        "beta_1",
        "raised",
        "nothing_to_spread",
        "with_recent",
        "beside_recent",
        "raised_beside",
    ],
)
def test_golden(pyramid, tokens, num_layers, changes, expected):
    policy = pyramid(tokens, **changes)
    assert [policy.tokens(layer, num_layers) for layer in range(num_layers)] == expected


@pytest.mark.parametrize("num_layers", [2, 3, 8, 28, 36, 40, 64])
@pytest.mark.parametrize("tokens", [90, 351, 512, 4096])
def test_sum_is_exact_and_budgets_fall(pyramid, tokens, num_layers):
    budgets = [pyramid(tokens, recent=64, sinks=4).tokens(layer, num_layers) for layer in range(num_layers)]
    assert sum(budgets) == num_layers * tokens
    assert budgets == sorted(budgets, reverse=True)
    assert budgets[0] > budgets[-1] >= 69


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (60, [100, 100, 100, 100, 100]),
        (116, [116, 108, 100, 92, 84]),
        (190, [190, 145, 100, 55, 10]),
        (300, [195, 148, 100, 52, 5]),
    ],
    ids=["below_the_budget", "first_round", "almost", "longer_than_the_first_layer"],
)
def test_it_is_as_steep_as_the_sequence_allows(pyramid, length, expected):
    """As the authors flatten it for a short prompt: what the first layer cannot fill the last layers hold."""
    assert [pyramid(100).tokens_at(layer, 5, length) for layer in range(5)] == expected
    assert sum(expected) == 500


def budgets_of_the_authors(tokens: int, window: int, beta: int, length: int, num_layers: int) -> list[int]:
    """`PyramidKVCluster.update_kv` of PyramidKV's release, the window it adds in every layer included."""
    least = (tokens - window) // beta
    most = (tokens - window) * 2 - least
    if most >= length - window:
        most = length - window
        least = (tokens - window) * 2 - most
    steps = (most - least) // (num_layers - 1)
    return [most - layer * steps + window for layer in range(num_layers)]


@pytest.mark.parametrize("length", [600, 1000, 5000])
@pytest.mark.parametrize(("tokens", "num_layers"), [(512, 9), (351, 28), (2048, 36)])
def test_beside_the_recent_it_is_the_authors_up_to_rounding(pyramid, tokens, num_layers, length):
    policy = pyramid(tokens, recent=64, sinks=0, beside_recent=True)
    ours = [policy.tokens_at(layer, num_layers, max(length, tokens)) for layer in range(num_layers)]
    theirs = budgets_of_the_authors(tokens, 64, 20, max(length, tokens), num_layers)
    # their step is rounded down, so their last layers have more, by less than a slot for each layer above
    assert ours[0] == theirs[0]
    assert all(0 <= other - own + 1 <= layer + 1 for layer, (own, other) in enumerate(zip(ours, theirs, strict=True)))


def test_a_layer_evicts_to_its_own_budget(model, budget):
    """A prompt of one token, so at the first round every layer holds 24 + 8, and the first cannot hold its 39 yet."""
    of = SnapKV(budget=replace(budget(24, recent=8), interval=8))
    policy = Pyramid(budget=of.budget, of=of)
    decoder = Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=60, longest_prompt=1, batch_size=1)
    lengths, evict = [], decoder.evict

    def watched(rows):
        evict(rows)
        lengths.append([layer.lengths[0].tolist() for layer in decoder.cache.layers])

    decoder.evict = watched
    (done,) = decoder.run([Request("a", 0, [7])])
    assert [decoder.cache.capacity(layer) for layer in range(3)] == [39 + 8, 32, 32]
    assert lengths == [[[first] * 2, [24] * 2, [last] * 2] for first, last in ((32, 16), *[(39, 9)] * 3)]
    # 32 everywhere at first; then 40, 32, 24, and 47, 32, 17
    assert done.usage.peak_slots == 32
    assert done.usage.num_evictions == 4


def test_a_layer_protects_as_much_of_the_prompt_as_it_has_room_for(pyramid):
    policy = pyramid(30, recent=8, sinks=2, protect_prompt=True)
    assert [policy.budget.protected(100, policy.tokens(layer, 3)) for layer in range(3)] == [40, 21, 2]
    assert [policy.budget.protected(5, policy.tokens(layer, 3)) for layer in range(3)] == [5, 5, 2]


def test_a_flatter_pyramid_leaves_as_much_to_drop(pyramid):
    """At 116 tokens the second layer drops 8 slots: of a prompt of 110 it protects 108 - 9, not 148 - 9."""
    policy = pyramid(100, recent=8, protect_prompt=True)
    clock = Clock(policy=policy, num_layers=5, prompt=110)
    clock.step(6)
    assert [clock.excess(layer) for layer in range(5)] == [0, 8, 16, 24, 32]
    assert [clock.protected(layer) for layer in range(5)] == [107, 99, 91, 83, 75]


def test_it_decides_as_the_method_it_wraps(view_of, kept, budget, rng):
    snapkv = SnapKV(budget=budget(10, recent=3))
    policy = Pyramid(budget=snapkv.budget, of=snapkv)
    view = view_of(policy, torch.randn(2, 2, 24, 8, generator=rng), queries=torch.randn(3, 8, generator=rng))
    assert kept(policy, view) == kept(snapkv, view)


def test_beta_below_one_is_refused(pyramid):
    with pytest.raises(ValueError, match=r"method.beta=0"):
        pyramid(100, beta=0)
