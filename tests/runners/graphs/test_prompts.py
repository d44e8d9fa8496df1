"""Prompts of rounded lengths leave what prompts of their own length leave, to the last live slot."""

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.quest import Quest
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.runners.cache import KVCache
from kvarena.runners.cache.layer import COLUMNS
from kvarena.runners.generate import Prompt
from kvarena.runners.graphs.prompts import LONGEST, PaddedPrompt
from kvarena.runners.model import own_attention, shape_of

BUDGET = Budget(tokens=64, recent=8, interval=8)
POLICIES = {
    "full": Full(),
    "h2o": H2O(budget=BUDGET),
    "quest": Quest(budget=BUDGET, page=16),
    "vase_attnv": VaSEAttnV(budget=BUDGET),
}


def read(kind, model, policy, lengths, **options):
    """Cache whose rows begin with prompts of these lengths, and the logits after each."""
    shape, device = shape_of(model.config), torch.device("cpu")
    sizes = dict(batch_size=len(lengths), longest_prompt=max(lengths), longest=max(lengths) + 8)
    cache = KVCache(policy=policy, shape=shape, dtype=torch.float32, device=device, **sizes)
    prompt, logits = kind(cache=cache, **options), []
    with own_attention(model), torch.inference_mode():
        for row, length in enumerate(lengths):
            cache.admit(row, length, (0, row))
            logits.append(prompt.read(model, [(7 * i + row) % 64 for i in range(length)]).clone())
            cache.seat(torch.tensor([row]), prompt.layers)
    return cache, torch.cat(logits)


@pytest.mark.parametrize("name", POLICIES)
def test_padding_leaves_no_trace(model, name):
    policy, lengths, ran = POLICIES[name], [1, 7, 63, 64, 65, 200, 7], []

    def counted(work):
        return lambda: (ran.append(1), work())

    padded, theirs = read(PaddedPrompt, model, policy, lengths, capture=counted)
    exact, ours = read(Prompt, model, policy, lengths)
    assert len(ran) == len(lengths)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    for one, other in zip(padded.layers, exact.layers, strict=True):
        assert one.lengths.tolist() == other.lengths.tolist() == [[length] * 2 for length in lengths]
        for column in COLUMNS:
            left, right = getattr(one, column), getattr(other, column)
            for row, length in enumerate(lengths):
                live = -(-length // 16) if column.startswith("page") else length
                mine, its = (part[row] if column == "queries" else part[row, :, :live] for part in (left, right))
                torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


def test_a_prompt_depends_on_no_other(model):
    """Not on what was read before it, nor in which order."""
    policy = POLICIES["h2o"]
    alone, logits = read(PaddedPrompt, model, policy, [50, 1], capture=lambda work: work)
    after, others = read(PaddedPrompt, model, policy, [50, 90, 64], capture=lambda work: work)
    assert torch.equal(logits[0], others[0])
    assert torch.equal(alone.layers[1].mass[0, :, :50], after.layers[1].mass[0, :, :50])
    again, last = read(PaddedPrompt, model, policy, [50, 90, 50, 90], capture=lambda work: work)
    assert torch.equal(again.layers[0].keys[1, :, :1], after.layers[0].keys[1, :, :1])
    assert last.isfinite().all()


def test_long_prompts_take_their_own_launches(model):
    policy, lengths = POLICIES["full"], [LONGEST + 1]
    captured = []
    padded, theirs = read(PaddedPrompt, model, policy, lengths, capture=captured.append)
    exact, ours = read(Prompt, model, policy, lengths)
    assert captured == []
    assert torch.equal(theirs, ours)
    assert torch.equal(padded.layers[0].keys, exact.layers[0].keys)
