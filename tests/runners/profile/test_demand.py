"""What a layer demands, by hand and against the decode loop."""

from dataclasses import dataclass, field

import pytest
import torch
from kvarena.methods.full import Full
from kvarena.runners.attention import Own
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.profile import measure_demand
from kvarena.runners.profile.demand import tokens_holding
from kvarena.runners.sampler import Greedy

PROMPT = [5, 17, 40, 3, 8, 21, 60]


def test_tokens_that_hold_a_part():
    shares = torch.tensor([[0.05, 0.5, 0.15, 0.3], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    assert tokens_holding(shares, 0.93).tolist() == [3, 1, 4]
    assert tokens_holding(shares, 0.79).tolist() == [2, 1, 4]
    assert tokens_holding(shares, 0.75).tolist() == [2, 1, 3]


@dataclass(kw_only=True)
class Looking:
    """Our attention, which notes what every step of the loop looks at."""

    needed: list[float] = field(default_factory=list)

    def check(self, *asked):
        pass

    def __call__(self, query, keys, values, lengths, *, longest, scale, **others):
        live = torch.arange(keys.shape[2]) < lengths[..., None]
        logits = (query.float() * scale @ keys.float().mT).masked_fill(~live[:, :, None], -torch.inf)
        self.needed.append(tokens_holding(logits.softmax(-1).mean(2), 0.93).double().mean().item())
        return Own()(query, keys, values, lengths, longest=longest, scale=scale, **others)


def test_one_pass_sees_what_the_steps_of_the_loop_see(model):
    looking = Looking()
    decoder = Decoder(
        model=model,
        policy=Full(),
        sampler=Greedy(),
        max_tokens=20,
        longest_prompt=len(PROMPT),
        batch_size=1,
        attention=looking,
    )
    looking.needed.clear()  # the probe's
    (said,) = decoder.run([Request("a", 0, PROMPT)])
    steps = torch.tensor(looking.needed).view(-1, 3)  # of three layers
    demand = measure_demand(model, [Request("a", 0, PROMPT, said.token_ids)], rho=0.93, most_steps=1000)
    assert demand.steps == len(steps) == len(said.token_ids) - 1
    assert demand.means == pytest.approx(steps.mean(0).tolist())
    assert len(set(demand.means)) == 3


def test_steps_are_spread_over_a_text(model):
    text = Request("a", 0, PROMPT, [1] * 50)
    assert measure_demand(model, [text, text], rho=0.9, most_steps=10).steps == 2 * 10
    assert measure_demand(model, [text], rho=0.9, most_steps=30).steps == 25
