from dataclasses import replace

import pytest
import torch
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy


@pytest.fixture
def pyramid(budget):
    """pyramid(tokens, ...) of StreamingLLM."""

    def build(tokens, *, beta=20, **changes):
        of = StreamingLLM(budget=budget(tokens, **changes))
        return Pyramid(budget=of.budget, of=of, beta=beta)

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
    ],
    ids=["five", "two", "one", "beta_4", "beta_1", "raised", "nothing_to_spread"],
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


def test_a_layer_evicts_to_its_own_budget(model, budget):
    """A prompt of one token, so the first round comes when every layer holds 24 + 8, the last layer's 9 far behind."""
    of = SnapKV(budget=replace(budget(24, recent=8), interval=8))
    policy = Pyramid(budget=of.budget, of=of)
    decoder = Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=60, longest_prompt=1, batch_size=1)
    lengths, evict = [], decoder.cache.evict

    def watched(rows):
        evict(rows)
        lengths.append([layer.lengths[0].tolist() for layer in decoder.cache.layers])

    decoder.cache.evict = watched
    (done,) = decoder.run([Request("a", 0, [7])])
    assert [decoder.cache.capacity(layer) for layer in range(3)] == [39 + 8, 32, 32]
    assert lengths == [[[slots] * 2, [24] * 2, [9] * 2] for slots in (32, 39, 39, 39)]
    # 32 everywhere at first; then 40, 32, 17, and in the end 47, 32, 17
    assert done.usage.peak_slots == 32
    assert done.usage.num_evictions == 4


def test_a_layer_protects_as_much_of_the_prompt_as_it_has_room_for(pyramid):
    policy = pyramid(30, recent=8, sinks=2, protect_prompt=True)
    assert [policy.budget.protected(100, policy.tokens(layer, 3)) for layer in range(3)] == [40, 21, 2]
    assert [policy.budget.protected(5, policy.tokens(layer, 3)) for layer in range(3)] == [5, 5, 2]


def test_it_decides_as_the_method_it_wraps(view_of, kept, budget, rng):
    snapkv = SnapKV(budget=budget(10, recent=3))
    policy = Pyramid(budget=snapkv.budget, of=snapkv)
    view = view_of(policy, torch.randn(2, 2, 24, 8, generator=rng), queries=torch.randn(3, 8, generator=rng))
    assert kept(policy, view) == kept(snapkv, view)


def test_beta_below_one_is_refused(pyramid):
    with pytest.raises(ValueError, match=r"method.beta=0"):
        pyramid(100, beta=0)
