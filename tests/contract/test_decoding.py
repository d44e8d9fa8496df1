"""What holds of every method, of what is decoded under it."""

from dataclasses import replace

import pytest
import torch
from kvarena.contract.decoding import ALL, FEW, MAX_TOKENS, baseline, decode, request, tokens_of
from kvarena.contract.policies import policy_of, storage_of
from kvarena.kernels.noise import Noise
from kvarena.methods.full import Full
from kvarena.runners.generate import Request
from kvarena.runners.sampler import Greedy


@pytest.fixture(scope="module")
def dense(model):
    """Greedy tokens of transformers."""
    found = {}
    for one in ALL:
        ids = torch.tensor([one.prompt])
        found[one.sample] = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_TOKENS, do_sample=False, pad_token_id=0
        )[0, len(one.prompt) :].tolist()
    return found


def test_a_budget_above_the_sequence_is_dense(model, dense, method):
    policy, few = policy_of(method, tokens=100), dict(storage=storage_of(method), max_tokens=FEW)
    if hasattr(policy, "top_p"):  # which bounds what is read beside the budget
        policy = replace(policy, top_p=1.0)
    done = decode(model, policy, ALL, **few)
    if storage_of(method).packs:
        dense = tokens_of(decode(model, Full(), ALL, **few))
    assert tokens_of(done) == {sample: tokens[:FEW] for sample, tokens in dense.items()}
    assert not any(generation.usage.num_evictions for generation in done)


def test_a_small_budget_is_not_dense(model, dense, compressing):
    """Or nothing here would have been compressed."""
    assert tokens_of(baseline(model, compressing)) != dense


def test_only_stochastic_methods_depend_on_the_seed(model, method):
    other = decode(model, policy_of(method), ALL, seed=1, max_tokens=FEW, storage=storage_of(method))
    assert (tokens_of(other) != tokens_of(baseline(model, method), FEW)) == policy_of(method).stochastic


def test_a_decoder_forgets(model, method):
    """A, B, A through one row, three rounds of each."""
    row = [ALL[0], request("other", 38), ALL[0]]
    policy, storage = policy_of(method), storage_of(method)
    first, _, again = decode(model, policy, row, batch_size=1, max_tokens=20, storage=storage)
    assert first.sample == again.sample == "long"
    assert first.token_ids == again.token_ids
    assert first.usage == again.usage


def test_neighbours_and_order_do_not_change_a_row(model, method):
    """Alone, in other rows, in a place that was used before, beside rows that are due with it or at other steps."""
    expected = tokens_of(baseline(model, method), FEW)
    for crowd in (ALL[:1], [request("due with long", 38), request("other", 5), *ALL]):
        tokens = tokens_of(decode(model, policy_of(method), crowd, max_tokens=FEW, storage=storage_of(method)))
        common = expected.keys() & tokens.keys()
        assert {sample: tokens[sample] for sample in common} == {sample: expected[sample] for sample in common}


class Dictated(Greedy):
    """The first row says what is dictated, so that no near-tie of logits, and no token said twice, decides anything."""

    def __init__(self, script):
        object.__setattr__(self, "script", script)
        object.__setattr__(self, "logits", {})

    def __call__(self, logits, rows, step):
        tokens = super().__call__(logits, rows, step)
        if torch.equal(rows.keys[0], torch.tensor(Noise.key(0, "script", 0))):
            self.logits[step[0].item()] = logits[0]
            tokens[0] = self.script[step[0]]
        return tokens


def test_a_row_in_any_cache_does_not_depend_on_its_neighbours(model, stored):
    """Beside others that come first and go on longer, in a row that was used before."""
    policy, short = policy_of(stored), dict(max_tokens=12, storage=storage_of(stored))
    expected = tokens_of(decode(model, policy, ALL[:2], **short))
    tokens = tokens_of(decode(model, policy, [request("due with long", 38), *ALL[::-1]], **short))
    assert {sample: tokens[sample] for sample in expected} == expected


def test_batch_sizes_agree_up_to_rounding(model, method):
    """30 tokens of prompt and 30 more, all different, four rounds between."""
    if storage_of(method).packs:
        pytest.skip("what rounds otherwise may become another code")
    words = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()
    logits = []
    for batch_size, neighbours in ((1, []), (4, [*ALL[1:], request("other", 12)])):
        sampler = Dictated(words[30:])
        scripted = Request("script", 0, words[:30])
        decode(model, policy_of(method), [scripted, *neighbours], batch_size=batch_size, sampler=sampler, max_tokens=30)
        logits.append(torch.stack([sampler.logits[step] for step in range(30)]))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-3, atol=1e-3)


def test_usage_accounts_for_what_was_read(model, method):
    policy = policy_of(method)
    for done in baseline(model, method):
        usage, end = done.usage, done.prompt_tokens + MAX_TOKENS - 1
        dense_mean = (done.prompt_tokens + 1 + end) / 2
        if policy.evicts:
            assert usage.mean_slots < dense_mean
            assert 0 < usage.tokens_read <= usage.mean_slots
            assert policy.selects == (usage.tokens_read < usage.mean_slots)
        else:
            assert (usage.peak_slots, usage.mean_slots) == (end, dense_mean)
            assert 0 < usage.tokens_read <= dense_mean
        forms = storage_of(method).keys, storage_of(method).values
        pair = sum(form.num_bytes(16) if form.packs else 16 * 4 for form in forms)
        assert usage.resident_bytes >= usage.peak_slots * 3 * 2 * pair
