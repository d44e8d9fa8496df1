import torch
from kvarena.kernels.noise import Noise
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import Clock, RoundFacts

BUDGET = Budget(tokens=10, recent=3, sinks=2, interval=4)


def clock_of(prompt, steps, policy=None):
    clock = Clock(policy=policy or StreamingLLM(budget=BUDGET), num_layers=2, prompt=prompt)
    clock.step(steps)
    return clock


def packed():
    """Row 4 holds 14 of 10 and was never evicted, row 1 holds 9; the last has no budget."""
    return RoundFacts.pack([clock_of(12, 2), clock_of(4, 5), clock_of(20, 1, Full())])


def test_what_is_packed_is_unpacked():
    noise = Noise(keys=torch.arange(12).view(6, 2))
    facts = RoundFacts.unpack(packed(), torch.tensor([4, 1, 0]), noise)
    assert facts.round.tolist() == [0, 0, 0]
    assert facts.recent.tolist() == [11, 6, 21]
    assert facts.position.tolist() == [14, 9, 21]
    assert [layer.tolist() for layer in facts.protected] == [[2, 2, 0]] * 2
    assert [layer.tolist() for layer in facts.excess] == [[4, 0, 0]] * 2
    assert facts.noise.keys.tolist() == [[8, 9], [2, 3], [0, 1]]


def test_a_row_that_has_nothing_to_drop_is_otherwise_the_same():
    changed, before = packed(), packed()
    RoundFacts.nothing_to_drop(changed, [])
    assert torch.equal(changed, before)
    RoundFacts.nothing_to_drop(changed, [0, 1])
    assert changed.tolist() == [[0, 11, 14, 2, 2, 0, 0], [0, 6, 9, 2, 2, 0, 0], [0, 21, 21, 0, 0, 0, 0]]
    assert before.tolist()[0] == [0, 11, 14, 2, 2, 4, 4]
