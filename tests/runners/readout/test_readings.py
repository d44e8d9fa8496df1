"""What is read of slots that were made so that it is known."""

import pytest
import torch
from kvarena.runners.readout import Slots, readings
from kvarena.runners.readout.readings import most_frequent, recovered

WORDS = 6


def slots_of(tokens, held, prompt, vectors):
    """Slots whose values are `vectors` of the token before, and whose keys are nothing."""
    live = torch.zeros(tokens.shape, dtype=torch.bool)
    live[:, held] = True
    text, position = live.nonzero().T
    before = tokens[text, (position - 1).clamp(min=0)]
    nothing = torch.zeros(len(text), 2)
    return Slots(
        text=text,
        position=position,
        stored=nothing,
        keys=nothing,
        values=vectors[before],
        tokens=tokens,
        live=live,
        prompt=torch.full((len(tokens),), prompt),
        length=torch.full((len(tokens),), tokens.shape[1]),
    )


@pytest.fixture
def planted(rng):
    tokens = torch.randint(WORDS, (8, 40), generator=rng)
    return slots_of(tokens, list(range(1, 40, 3)), 20, torch.randn(WORDS, 5, generator=rng))


def test_a_token_that_the_next_slot_holds_is_read_and_others_are_not(planted):
    found = {(each.features, each.back, each.of): each for each in readings(planted, 2, 1e-4)}
    read, far = found["values", 1, "all"], found["values", 2, "all"]
    assert (read.right, read.asked, read.fitted) == (1.0, 4 * 13, 4 * 13)
    assert read.shuffled < 0.5
    assert read.chance < 0.5
    assert read.text < 0.5
    assert far.right < 0.5
    assert found["keys", 1, "all"].right == found["keys", 1, "all"].chance
    assert found["values", 1, "prompt"].asked == 4 * 7  # of slots 1, 4, ..., 19
    assert found["both", 1, "all"].right == 1.0
    assert found["values", 0, "all"].asked == 4 * 13


def test_the_prompt_is_recovered_where_a_slot_survives_behind(planted):
    counts = recovered(planted, 1, 1e-4)
    assert counts["evicted"] == 4 * 13  # of 20 tokens 7 are held, in 4 texts that are asked
    assert (counts["reached"], counts["right"]) == (4 * 7, 4 * 7)
    assert counts["by_text"] < 4 * 7
    wide = recovered(planted, 2, 1e-4)
    assert wide["reached"] == 4 * 13  # position 18 stands two before slot 19, 19 is held itself
    assert wide["right"] < wide["reached"]


def test_what_a_word_says_of_its_neighbour():
    given, target = torch.tensor([1, 1, 1, 2]), torch.tensor([5, 5, 6, 7])
    assert most_frequent(given, target, torch.tensor([1, 2, 3])).tolist() == [5, 7, 5]


def test_fewer_slots_than_channels_are_refused(planted):
    few = slots_of(planted.tokens[:2, :5], [1, 2, 3, 4], 2, torch.zeros(WORDS, 5))
    with pytest.raises(ValueError, match="4 slots to fit on are not more than the 5 channels of a probe"):
        list(readings(few, 1, 0.01))
