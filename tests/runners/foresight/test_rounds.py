"""What a scorer is trained on is what it sees in the decode loop."""

from dataclasses import dataclass, field

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.foresight import Foresight, features
from kvarena.runners.foresight import examples
from kvarena.runners.foresight.seen import Seen, seen_of
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy

PROMPT = [5, 17, 40, 3, 8, 21, 60]
BUDGET = Budget(tokens=16, recent=4, sinks=0, interval=4)


def liked(positions):
    """A taste that has nothing to do with attention."""
    return (positions * 7 % 11).float()


@dataclass(frozen=True, kw_only=True)
class Watched(Foresight):
    """Drops by taste, and notes the features of what may go."""

    views: list = field(default_factory=list)

    def score(self, view):
        for head, may_go in enumerate(view.evictable[0]):
            self.views.append(features(view)[0, head, may_go])
        return liked(view.positions)


def rows(seen):
    """In an order that does not depend on that of the slots."""
    return seen[seen[:, 0].argsort()]


def test_rounds_of_one_pass_are_those_of_the_loop(model, monkeypatch):
    policy = Watched(budget=BUDGET, scorer=None)
    decoder = Decoder(
        model=model, policy=policy, sampler=Greedy(), max_tokens=40, longest_prompt=len(PROMPT), batch_size=1
    )
    (said,) = decoder.run([Request("a", 0, PROMPT)])
    assert said.usage.num_evictions == 7
    assert len(policy.views) == 7 * 3 * 2  # of three layers and two heads

    def by_taste(self, start, width):
        return liked(torch.arange(self.keys.shape[1])).expand(20, len(self.keys), -1)

    monkeypatch.setattr(Seen, "later", by_taste)
    seen, rng = seen_of(model, Request("a", 0, PROMPT, said.token_ids)), torch.Generator().manual_seed(0)
    plain = Foresight(budget=BUDGET, scorer=None)
    made = list(examples(seen, len(PROMPT), plain, most=30, rng=rng))
    assert len(made) == 7
    for index, one in enumerate(made):
        for layer in range(3 if index == 0 else 1):  # what is dropped changes what upper layers see then
            for head in range(2):
                there = one.worth[layer, head].isfinite()
                ours, theirs = one.features[layer, head, there], policy.views[(index * 3 + layer) * 2 + head]
                assert len(ours) == len(theirs) == 16
                torch.testing.assert_close(rows(ours), rows(theirs), rtol=1e-4, atol=1e-5)


def test_worth_is_the_most_that_a_later_block_gives(model):
    text = Request("a", 0, PROMPT, torch.arange(34).tolist())
    seen, rng = seen_of(model, text), torch.Generator().manual_seed(0)
    first = next(examples(seen, len(PROMPT), Foresight(budget=BUDGET, scorer=None), most=30, rng=rng))
    # the first round is at 20 tokens; 40 have queries
    for layer, one in enumerate(seen):
        blocks = one.probabilities(torch.arange(20, 40)).unflatten(1, (5, 4)).mean(2)  # [H, C, S]
        expected = blocks.amax(1)[:, :16].sort(-1).values
        torch.testing.assert_close(first.worth[layer, :, :].sort(-1).values[:, :16], expected)


@pytest.mark.parametrize("length", [5, 12])
def test_a_short_text_has_no_round(model, length):
    text = Request("a", 0, PROMPT, list(range(length)))
    rng = torch.Generator().manual_seed(0)
    made = list(examples(seen_of(model, text), len(PROMPT), Foresight(budget=BUDGET, scorer=None), most=9, rng=rng))
    assert made == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the same rounds on a GPU")
def test_rounds_on_a_gpu_are_those_on_a_cpu(model):
    text = Request("a", 0, PROMPT, torch.arange(34).tolist())
    seen = seen_of(model, text)
    moved = [Seen(one.queries.cuda(), one.keys.cuda(), one.values.cuda(), one.scale) for one in seen]
    plain = Foresight(budget=BUDGET, scorer=None)
    ours, theirs = (
        list(examples(each, len(PROMPT), plain, most=30, rng=torch.Generator().manual_seed(0)))
        for each in (seen, moved)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(other.features.cpu(), one.features, rtol=1e-3, atol=1e-4, equal_nan=True)
