"""What holds of some methods beside what holds of every one (kvarena.contract, in tests/contract)."""

import pytest
from kvarena.contract.decoding import ALL, MAX_TOKENS, ROUNDS, baseline, decode, tokens_of
from kvarena.contract.policies import TOKENS, ours, policy_of
from kvarena.methods.rkv import RKV


@pytest.mark.parametrize(
    ("name", "as_published", "rounds", "peaks"),
    [
        # the long prompt is cut once, then grows by 43
        ("snapkv_original", "interval=0", {"long": 1, "short": 0, "one": 0}, {"long": 67, "short": 53, "one": 44}),
        ("rkv", "interval=8", ROUNDS | {"long": 1 + 5}, {"long": 32, "short": 32, "one": 32}),
        # one token a step, until the last, after which nothing is asked any more
        ("tova", "interval=1", {"long": 1 + 42, "short": 28, "one": 19}, {"long": 30, "short": 25, "one": 25}),
        ("longflow", "interval=1", {"long": 1 + 42, "short": 28, "one": 19}, {"long": 30, "short": 25, "one": 25}),
    ],
)
def test_methods_that_cut_the_prompt(model, name, as_published, rounds, peaks):
    done = decode(model, policy_of(name, "method.budget.prefill=true", f"method.budget.{as_published}"), ALL)
    assert {generation.sample: generation.usage.num_evictions for generation in done} == rounds
    assert {generation.sample: generation.usage.peak_slots for generation in done} == peaks


@pytest.mark.parametrize("name", ["snapkv", "rkv_vase", "vase_attnv"])
def test_smoothing_by_rank_is_a_config(model, name):
    policy = policy_of(name, "method.neighbours._target_=kvarena.methods.neighbours.ByRank")
    assert policy.needs.rank
    assert tokens_of(decode(model, policy, ALL)) != tokens_of(baseline(model, name))


@pytest.mark.parametrize("name", ["snapkv", "snapkv_original", "rkv", "gkv", "vase_attnv"])
@pytest.mark.parametrize(
    "setting",
    ["aggregate._target_=kvarena.methods.aggregate.Defensive", "weight._target_=kvarena.methods.weight.ByOutput"],
)
def test_aggregation_and_the_weight_of_values_are_configs(model, name, setting):
    assert tokens_of(decode(model, policy_of(name, f"method.{setting}"), ALL)) != tokens_of(baseline(model, name))


@pytest.mark.parametrize("name", ["snapkv", "rkv_vase", "vase_attnv", "attn_random"])
def test_without_smoothing_the_order_of_neighbours_says_nothing(model, name):
    by_position, by_rank = (
        policy_of(name, "method.smooth=1", f"method.neighbours._target_=kvarena.methods.neighbours.{order}")
        for order in ("ByPosition", "ByRank")
    )
    assert tokens_of(decode(model, by_position, ALL[:1])) == tokens_of(decode(model, by_rank, ALL[:1]))


@pytest.mark.parametrize("name", [name for name in ours() if policy_of(name).selects])
def test_a_selection_reads_its_budget(model, name):
    """One dense layer of three at most, 24 tokens at most in the others, by each of two query heads or by both."""
    policy = policy_of(name)
    for done in baseline(model, name):
        dense_mean = done.prompt_tokens + MAX_TOKENS / 2
        read = TOKENS * (2 if getattr(getattr(policy, "of", policy), "per_query_head", False) else 1)
        assert 0 < done.usage.tokens_read <= (dense_mean + 2 * read) / 3


@pytest.mark.parametrize("of", ["snapkv", "h2o", "vase_attnv", "vase_dkv"])
@pytest.mark.parametrize(("name", "even"), [("adakv", "method.alpha=1.0"), ("pyramid", "method.beta=1")])
def test_an_even_allocation_is_the_method_token_for_token(model, name, even, of):
    """Through a mask of survivors here, by the scores alone there."""
    done = decode(model, policy_of(name, f"method@method.of={of}", even), ALL)
    assert tokens_of(done) == tokens_of(baseline(model, of))
    assert [generation.usage for generation in done] == [generation.usage for generation in baseline(model, of)]


@pytest.mark.parametrize("name", ["adakv", "pyramid"])
def test_allocations_of_rkv_have_a_name_each_for_a_sweep(name):
    named = policy_of(f"{name}_rkv")
    assert type(named.of) is RKV
    assert named == policy_of(name, "method@method.of=rkv") != policy_of(name)
