"""Forced texts, beside transformers' own logits where an attention mask says what a method leaves."""

import math
from functools import partial

import pytest
import torch
from kvarena.kernels.pack import Affine
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.quest import Quest
from kvarena.methods.random import Random
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import Storage
from kvarena.runners.fidelity import Examiner, fidelity
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.graphs.prompts import PackedPrompt
from kvarena.runners.model import forward

TEXTS = [(list(range(5 + 3 * n, 25 + 4 * n)), [(7 * i + n) % 64 for i in range(40 - 5 * n)]) for n in range(5)]


def policy(method=SnapKV, tokens=24, **changes):
    return method(budget=Budget(tokens=tokens, recent=8, sinks=4, interval=8), **changes)


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("method", [SnapKV, Random, H2O])
def test_a_budget_above_the_length_drifts_by_nothing(tiny_model, method, family):
    drifts = fidelity(tiny_model(family), None, TEXTS, policy(method, 200), batch_size=3)
    assert [(set(drift.kl), set(drift.nll), drift.other) for drift in drifts] == [({0.0}, {0.0}, [])] * 5


def test_a_selection_that_reads_all_drifts_by_nothing(model):
    drifts = fidelity(model, None, TEXTS, policy(Quest, 96, page=16), batch_size=3)
    assert all(set(drift.kl) == {0.0} for drift in drifts)


def test_a_packed_cache_drifts_from_a_plain_one(model):
    two_bits = Affine(bits=2, group=None)
    packed = partial(Decoder, storage=Storage(keys=two_bits, values=two_bits))
    assert min(max(drift.kl) for drift in fidelity(model, None, TEXTS, Full(), engine=packed)) > 0.1


def visible(prompt: int, total: int, budget: Budget) -> torch.Tensor:
    """[T, T] bool: what each position attends to under sinks and newest tokens, a round every interval."""
    kept, rows = list(range(prompt)), torch.zeros(total, total, dtype=torch.bool)
    rows[:prompt] = torch.ones(total, total, dtype=torch.bool).tril()[:prompt]
    for position in range(prompt, total):
        kept.append(position)
        rows[position, kept] = True
        over = len(kept) - budget.tokens
        if over > 0 and over % budget.interval == 0:
            kept = kept[: budget.sinks] + kept[budget.sinks - budget.tokens :]
    return rows


def logits(model, prompt, completion, mask):
    """[T, V] float64 before each token of the completion."""
    tokens = torch.tensor([[*prompt, *completion]])
    bias = torch.zeros(1, 1, *mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        found = model(input_ids=tokens, attention_mask=bias, use_cache=False).logits[0].double()
    return found[len(prompt) - 1 : -1]


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_the_drift_of_a_sliding_window_is_that_of_its_mask(tiny_model, family):
    model, streaming = tiny_model(family), policy(StreamingLLM)
    for (prompt, completion), drift in zip(TEXTS, fidelity(model, None, TEXTS, streaming, batch_size=2), strict=True):
        total = len(prompt) + len(completion)
        causal = torch.ones(total, total, dtype=torch.bool).tril()
        p = logits(model, prompt, completion, causal).log_softmax(-1)
        q = logits(model, prompt, completion, visible(len(prompt), total, streaming.budget)).log_softmax(-1)
        said = torch.tensor(completion)[:, None]
        assert drift.kl == pytest.approx((p.exp() * (p - q)).sum(-1).tolist(), abs=5e-5)
        assert drift.nll == pytest.approx((p - q).gather(1, said)[:, 0].tolist(), abs=5e-5)
        assert drift.mass == pytest.approx(q.exp().gather(1, p.argmax(-1, keepdim=True))[:, 0].tolist(), abs=5e-5)
        assert drift.other == (p.argmax(-1) != q.argmax(-1)).nonzero()[:, 0].tolist()
        assert max(drift.kl) > 0.01  # there is something to see


def test_a_text_does_not_depend_on_its_neighbours(model):
    alone = [fidelity(model, None, [text], policy(), batch_size=3)[0] for text in TEXTS]
    assert fidelity(model, None, TEXTS, policy(), batch_size=3) == alone
    assert fidelity(model, None, TEXTS[::-1], policy(), batch_size=3)[::-1] == alone


def test_a_forced_step_hangs_nothing_on_the_model_and_makes_no_logits(model, monkeypatch):
    """So it can be captured, and is one pass of the decoder."""
    steps, logits = [], []
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    inner, outer = decoder.forward, head.forward

    def step(*args, **options):
        steps.append(any(each._forward_hooks or each._forward_pre_hooks for each in model.modules()))
        return inner(*args, **options)

    monkeypatch.setattr(decoder, "forward", step)
    monkeypatch.setattr(head, "forward", lambda states: logits.append(1) or outer(states))
    for times, expected in (1, 40), (3, 120):
        steps.clear(), logits.clear()
        texts = [(prompt, completion[:40] * times) for prompt, completion in TEXTS[:1]]
        fidelity(model, None, texts, policy(), batch_size=1)
        assert 2 * expected <= len(steps) <= 2 * expected + 40  # dense and the method; prompts and probes
        assert not any(steps)
        assert len(logits) < 40


class Padding(Decoder):
    """Prompts as the engine of graphs captures them."""

    def prompts(self, cache, sees=forward):
        return PackedPrompt(cache=cache, sees=sees, capture=lambda work: work)


@pytest.mark.parametrize("method", [SnapKV, H2O])
def test_padded_prompts_leave_the_drift(model, method):
    """The states of a text and what its prompt leaves are as without the padding."""
    exact, padded = (
        fidelity(model, None, TEXTS, policy(method), batch_size=3, engine=engine) for engine in (Decoder, Padding)
    )
    for one, other in zip(exact, padded, strict=True):
        assert other.kl == pytest.approx(one.kl, abs=1e-4)
        assert other.other == one.other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (([1, 2], []), "text 0 has no completion: there is nothing to compare"),
        (([1, 2], [3, 1000, 4]), "text 0 goes on behind an end token, its token 1: cut it there"),
        (([1] * 500, [2] * 13), "text 0 has 513 tokens, the model 512 positions: cut it"),
        (([1, 2], [64]), "text 0 holds a token that is not of the model's 64"),
        (([1, 2], [-1]), "text 0 holds a token that is not of the model's 64"),
        (([], [5]), "text 0 has no prompt: give one token of it at least"),
    ],
)
def test_texts_that_cannot_be_forced(model, text, message):
    with pytest.raises(ValueError, match=message):
        fidelity(model, None, [text], Full())


def test_a_family_that_does_more_to_its_logits_is_refused(model, monkeypatch):
    head = model.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, arguments, output: output * 2)
    with pytest.raises(ValueError, match="the model does more to its logits than its output projection"):
        fidelity(model, None, TEXTS, Full())
    handle.remove()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_drift_that_is_no_number_is_refused_at_its_token(model, value):
    """As of a cache that overflows in the middle of a text."""
    dense = torch.randn(3, 64)
    examiner = Examiner(model, batch_size=2, longest=3, states={("a", 0): dense})
    examiner.admitted(1, Request("a", 0, [1], [2, 3, 4]))
    for step, states in enumerate(dense):
        own = states if step < 2 else states * value
        examiner(own[None], torch.tensor([1]), torch.tensor([step]))
    with pytest.raises(ValueError, match="text a: KL before its token 2 is nan, the numbers of dense or of the method"):
        examiner.released(1, 3)


def test_a_model_of_broken_weights_is_refused_as_such(tiny_model):
    model = tiny_model("qwen3")
    model.get_decoder().layers[0].mlp.up_proj.weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="the model's logits are not finite"):
        fidelity(model, None, TEXTS, Full())
