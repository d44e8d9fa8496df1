"""What a method evicted, played again in one pass, is what it was in the decode loop."""

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.random import Random
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.fidelity import Scribe, longest
from kvarena.runners.fidelity.measure import force
from kvarena.runners.forget import gone_from, of_method, states_without
from kvarena.runners.forget.departures import STAYS
from kvarena.runners.generate import Decoder, Request

TEXTS = [Request(name, 0, list(range(2, 22)), [(7 * i + n) % 61 for i in range(40)]) for n, name in enumerate("abc")]


def policy(method):
    return method(budget=Budget(tokens=24, recent=8, sinks=4, interval=8))


@pytest.mark.parametrize("method", [SnapKV, Random])
def test_one_pass_says_what_the_loop_said(model, method):
    gone = gone_from(model, policy(method), TEXTS, batch_size=2)
    scribe = Scribe(model, batch_size=2, longest=longest(TEXTS))
    done = {each.sample: each.seen for each in force(model, policy(method), TEXTS, Decoder, 2, scribe)}
    for text in TEXTS:
        tokens = [*text.prompt, *text.completion]
        ours = states_without(model, tokens[:-1], gone[text.sample])[len(text.prompt) - 1 :]
        assert torch.allclose(ours, done[text.sample], atol=2e-5)
        dense = states_without(model, tokens[:-1], torch.full_like(gone[text.sample], STAYS))
        assert not torch.allclose(dense[len(text.prompt) - 1 :], ours, atol=1e-3)


def test_when_a_sliding_window_lets_go():
    """24 slots of 32 stay: the prompt of 20 and 12 steps; then 8 go at a round, the oldest behind 4 sinks."""
    from kvarena.contract.tiny_model import build_tiny_model

    gone = gone_from(build_tiny_model(), policy(StreamingLLM), TEXTS[:1])["a"]
    expected = [STAYS] * 4 + [32] * 8 + [40] * 8 + [48] * 8 + [56] * 8 + [STAYS] * 24
    assert gone.tolist() == [[expected] * gone.shape[1]] * gone.shape[0]


def test_rows_are_of_what_was_gone_at_the_cut(model):
    gone = gone_from(model, policy(StreamingLLM), TEXTS[:1])["a"]
    rows = {row["of"]: row for row in of_method(model, TEXTS[0], gone, 41) if row["since"] == 0}
    assert rows["all"]["gone"] == pytest.approx(16 / 41)
    assert rows["prompt"]["gone"] == pytest.approx(16 / 41)  # positions 4 to 19, all of the prompt
    assert (rows["all"]["tokens"], rows["all"]["after"]) == (16, 21)
    assert rows["all"]["kl_dense"] > 0
    assert rows["all"]["kl_erased"] > 0
    assert of_method(model, TEXTS[0], gone, 31) == []
