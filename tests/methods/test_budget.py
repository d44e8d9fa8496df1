from dataclasses import replace

import pytest
from kvarena.methods.budget import Budget
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.quest import Quest
from kvarena.methods.snapkv import SnapKV


@pytest.mark.parametrize(
    ("changes", "prompt", "expected"),
    [
        ({}, 30, 4),
        ({"sinks": 0}, 30, 0),
        ({"protect_prompt": True}, 2, 4),
        ({"protect_prompt": True}, 30, 30),
        ({"protect_prompt": True}, 55, 55),
        ({"protect_prompt": True}, 56, 55),
        ({"protect_prompt": True}, 1000, 55),
    ],
    ids=["sinks", "nothing", "prompt_below_sinks", "prompt", "prompt_just_fits", "one_slot_is_left", "long_prompt"],
)
def test_protected(changes, prompt, expected):
    """64 tokens, 8 of them recent: a prompt may take 55, so that one slot is free."""
    assert Budget(tokens=64, recent=8, **changes).protected(prompt) == expected


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tokens": 12}, "12 tokens"),
        ({"recent": 0}, "budget.recent=0"),
        ({"sinks": -1}, "budget.sinks=-1"),
        ({"interval": -1}, "budget.interval=-1"),
        ({"interval": 0}, "budget.interval=0 with prefill=false never evicts"),
    ],
    ids=["tokens", "recent", "sinks", "interval", "never"],
)
def test_what_cannot_work_is_refused_by_name(changes, named):
    with pytest.raises(ValueError, match=named):
        Budget(**({"tokens": 64, "recent": 8, "sinks": 4} | changes))


@pytest.mark.parametrize(
    ("changes", "length", "prompt", "slots"),
    [
        ({}, 500, 30, 64),
        # 8 recent and 4 sinks beside a quarter of the other 488
        ({"share": 0.25}, 500, 30, 12 + 122),
        ({"share": 0.25, "sinks": 0}, 500, 30, 8 + 123),
        ({"share": 0.25, "protect_prompt": True}, 500, 30, 38 + 115),
        ({"share": 0.25, "protect_prompt": True}, 500, 2, 12 + 122),
        # .29 of 100 is 28.999999999999996
        ({"share": 0.29}, 112, 30, 12 + 29),
        ({"share": 0.25}, 10, 9, 13),
    ],
    ids=["tokens", "share", "no_sinks", "prompt", "prompt_below_sinks", "rounding", "short"],
)
def test_slots_that_a_round_leaves(changes, length, prompt, slots):
    assert Budget(tokens=64, recent=8, **changes).at(length, prompt) == slots


def test_a_list_is_the_slots_of_each_layer():
    budget = Budget(tokens=[40, 20, 31], recent=8)
    assert (budget.tokens, budget.layers) == (30, (40, 20, 31))
    assert [budget.of_layer(layer, 3) for layer in range(3)] == [40, 20, 31]
    assert [SnapKV(budget=budget).tokens(layer, 3) for layer in range(3)] == [40, 20, 31]
    assert replace(budget, recent=4).layers == (40, 20, 31)
    with pytest.raises(ValueError, match=r"budget\.tokens has 3 layers, the model 4: one number each"):
        budget.of_layer(0, 4)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tokens": []}, r"budget.tokens=\[\]: give a number of slots, or one for each layer"),
        ({"tokens": [40, 12]}, "budget of 12 tokens is not above recent"),
        ({"tokens": [40, 20.5]}, "budget.tokens="),
        ({"tokens": [40, 20], "share": 0.5}, "give budget.tokens as that list alone"),
        ({"tokens": 31, "layers": (40, 20)}, "give budget.tokens as that list alone"),
    ],
)
def test_lists_that_cannot_work(changes, named):
    with pytest.raises(ValueError, match=named):
        Budget(**({"recent": 8, "sinks": 4} | changes))


def test_layers_are_said_once():
    budget = Budget(tokens=[40, 20], recent=8)
    with pytest.raises(ValueError, match="a selection reads one number in all layers"):
        Quest(budget=budget)
    with pytest.raises(ValueError, match="use one number, a pyramid shares it out"):
        Pyramid(of=SnapKV(budget=budget), budget=budget)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_share_is_a_part(share):
    with pytest.raises(ValueError, match=f"budget.share={share}: use a part above 0 and below 1"):
        Budget(tokens=64, recent=8, share=share)


def test_one_slot_above_recent_and_sinks_is_enough():
    assert Budget(tokens=13, recent=8, sinks=4).tokens == 13
