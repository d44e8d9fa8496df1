"""What holds of every method, in the words of its config, on a model of three layers."""

from dataclasses import replace
from functools import cache
from importlib import resources
from types import SimpleNamespace

import hydra
import pytest
import torch
from kvarena.kernels.noise import Noise
from kvarena.methods.full import Full
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy

METHODS = sorted(
    file.name.removesuffix(".yaml")
    for file in (resources.files("kvarena.conf") / "method").iterdir()
    if file.name.endswith(".yaml")
)
STOCHASTIC = {
    *("random", "random_prompt", "evict_random", "vase_dkv", "curdkv_vase"),
    *("vase_attnv", "vase_attnv_half", "vase_attnv_var", "vase_attnv_l2", "snapkv_sample", "attn_random"),
}
PAGES = ("method.page=4", "method.dense_layers=1")  # small enough for the sequences here
OWN = {
    "quest": PAGES,
    "quest_per_query_head": PAGES,
    # rounds as all others have them
    "rkv": ("method.budget.prefill=false",),
    "tova": ("method.budget.prefill=false",),
    "longflow": ("method.budget.prefill=false",),
    "gkv": ("method.budget.prefill=false",),
    "snapkv_original": ("method.budget.prefill=false", "method.budget.interval=8"),
}

TOKENS, RECENT, INTERVAL, MAX_TOKENS = 24, 8, 8, 44
PROMPTS = {"long": 30, "short": 10, "one": 1}  # tokens; the first is above the budget
# of 43 steps (the last token is never appended): 2, 10, ... 42; 22, 30, 38; 31, 39
ROUNDS = {"long": 6, "short": 3, "one": 2}


@cache
def policy_of(name, *overrides, tokens=TOKENS):
    """The method, from its yaml."""
    with hydra.initialize_config_module("kvarena.conf", version_base=None):
        config = hydra.compose(
            "evaluate",
            [
                f"method={name}",
                f"compression.tokens={tokens}",
                f"compression.recent={RECENT}",
                f"compression.interval={INTERVAL}",
                *OWN.get(name, ()),
                *overrides,
            ],
        )
    return hydra.utils.instantiate(config.method)


EVICTING = [name for name in METHODS if policy_of(name).evicts]


def request(name, length=None, draw=0):
    length = PROMPTS[name] if length is None else length
    tokens = torch.randint(0, 64, (length,), generator=torch.Generator().manual_seed(sum(map(ord, name))))
    return Request(name, draw, tokens.tolist())


@pytest.fixture
def decode(model):
    """decode(policy, requests, ...) -> generations, in the order of their ends."""

    def run(policy, requests, *, sampler=None, batch_size=3, max_tokens=MAX_TOKENS, seed=0):
        decoder = Decoder(
            model=model,
            policy=policy,
            sampler=sampler or Greedy(),
            max_tokens=max_tokens,
            longest_prompt=40,
            batch_size=batch_size,
            seed=seed,
        )
        return list(decoder.run(requests))

    return run


def tokens_of(generations):
    return {done.sample: done.token_ids for done in generations}


ALL = [request(name) for name in PROMPTS]


@pytest.fixture
def baseline(decode):
    """baseline(name): generations of the three prompts under the small budget, decoded once."""
    return lambda name: BASELINES.get(name) or BASELINES.setdefault(name, decode(policy_of(name), ALL))


BASELINES = {}


def watch(model, policy):
    """Decode the three prompts at once; keep what the cache held after every round, and all it was fed."""
    decoder = Decoder(
        model=model, policy=policy, sampler=Greedy(), max_tokens=MAX_TOKENS, longest_prompt=40, batch_size=3
    )
    cache = decoder.cache
    seen = SimpleNamespace(policy=policy, cache=cache, after=[], views=[], fed={}, above_capacity=[])
    attend, evict = cache.attend, decoder.evict

    def note_prompts():
        for row, clock in enumerate(cache.clocks):
            if clock and (0, row) not in seen.fed:
                for index, layer in enumerate(cache.layers):
                    columns = layer.keys, layer.values
                    seen.fed[index, row] = tuple(column[row, :, : clock.prompt].clone() for column in columns)

    def watched_attend(index, query, key, value, scale):
        note_prompts()
        for row, clock in enumerate(cache.clocks):
            if clock:
                seen.fed[index, row] = tuple(
                    torch.cat([old, new[row]], 1) for old, new in zip(seen.fed[index, row], (key, value), strict=True)
                )
        output = attend(index, query, key, value, scale)
        if (cache.layers[index].lengths > cache.capacity(index)).any():
            seen.above_capacity.append(index)
        return output

    def watched_evict(rows):
        note_prompts()
        seen.views.append(cache.view(1, cache.facts(rows)))
        evict(rows)
        for row in rows:
            for index, layer in enumerate(cache.layers):
                seen.after.append(
                    SimpleNamespace(
                        tokens=policy.tokens_at(index, len(cache.layers), cache.clocks[row].position),
                        prompt=cache.clocks[row].prompt,
                        end=cache.clocks[row].position,
                        lengths=layer.lengths[row].tolist(),
                        positions=[layer.positions[row, h, : layer.lengths[row, h]].tolist() for h in range(2)],
                        exact=all(
                            torch.equal(column[row, h, :n], fed[h, layer.positions[row, h, :n].long()])
                            for column, fed in zip((layer.keys, layer.values), seen.fed[index, row], strict=True)
                            for h, n in enumerate(layer.lengths[row].tolist())
                        ),
                    )
                )

    cache.attend, decoder.evict = watched_attend, watched_evict
    seen.generations = list(decoder.run(ALL))
    return seen


@pytest.fixture(scope="module", params=EVICTING)
def watched(request, model):
    return watch(model, policy_of(request.param))


def test_rounds_are_those_the_trigger_predicts(watched):
    assert {done.sample: done.usage.num_evictions for done in watched.generations} == ROUNDS
    assert len(watched.after) == 3 * sum(ROUNDS.values())


def test_a_round_leaves_the_budget(watched):
    """In every layer, as the mean over its heads; the same in each of them unless they compete. And over all layers."""
    for held in watched.after:
        tokens = min(held.end, held.tokens)
        assert sum(held.lengths) == 2 * tokens
        assert watched.policy.uneven or held.lengths == [tokens, tokens]
    layers = [sum(held.lengths) for held in watched.after]
    assert [sum(layers[i : i + 3]) for i in range(0, len(layers), 3)] == [3 * 2 * TOKENS] * (len(layers) // 3)


def test_live_slots_never_exceed_the_capacity(watched):
    # longest_prompt + interval; a head that competes may keep the whole sequence
    assert watched.cache.capacity(0) == (40 + MAX_TOKENS if watched.policy.uneven else 40 + INTERVAL)
    assert watched.above_capacity == []
    peaks = {done.sample: done.usage.peak_slots for done in watched.generations}
    assert peaks == {"long": 32, "short": 32, "one": 32}


def test_survivors_are_exact_copies_and_none_is_there_twice(watched):
    for held in watched.after:
        assert held.exact
        assert [len(set(positions)) for positions in held.positions] == held.lengths


def test_sinks_and_recent_slots_survive_every_round(watched):
    for held in watched.after:
        protected = {*range(watched.policy.budget.sinks), *range(held.end - RECENT, held.end)}
        for positions in held.positions:
            assert protected <= set(positions)


def test_slot_order_does_not_change_what_is_kept(watched, rng):
    """All slots of a head in another order, a new one for every row and head."""
    assert len(watched.views) > 5
    for view in watched.views:
        order = torch.rand(view.positions.shape, generator=rng).argsort(-1)

        def turned(column, order=order):
            if not column.numel():
                return column
            index = order.view(*order.shape, *(1,) * (column.dim() - 3)).expand_as(column)
            return column.gather(2, index)

        names = (
            "keys",
            "values",
            "positions",
            "live",
            "candidates",
            "evictable",
            "mass",
            "rank",
            "remembered",
            "last_used",
            "longest_gap",
            "constants",
        )
        keep = watched.policy.keep(view)
        keep_turned = watched.policy.keep(replace(view, **{name: turned(getattr(view, name)) for name in names}))
        assert torch.equal(keep_turned, turned(keep))
        assert (keep.sum((1, 2)) == 2 * TOKENS).all()


def test_a_round_asks_nothing_of_the_device(watched):
    """On tensors without data a question to the host, or a shape that depends on values, is an error."""
    view = watched.views[0]
    fields = {name: value.to("meta") for name, value in vars(view).items() if isinstance(value, torch.Tensor)}
    meta = replace(view, noise=Noise(keys=view.noise.keys.to("meta")), **fields)
    assert watched.policy.keep(meta).shape == view.live.shape
    if watched.policy.needs.rank:
        assert watched.policy.survivor_order(meta, watched.policy.score(meta)).shape == view.live.shape


def test_nothing_to_drop_drops_nothing(watched):
    for view in watched.views:
        assert torch.equal(watched.policy.keep(replace(view, excess=torch.zeros_like(view.excess))), view.live)


@pytest.mark.parametrize("name", EVICTING)
def test_a_protected_prompt_survives_every_round(model, name):
    """Of a prompt of 30 only 24 - 8 - 1 can, or what the layer's budget leaves; one slot stays free."""
    seen = watch(model, policy_of(name, "method.budget.protect_prompt=true"))
    assert {done.sample: done.usage.num_evictions for done in seen.generations} == ROUNDS
    for held in seen.after:
        for positions in held.positions:
            assert set(range(min(held.prompt, held.tokens - RECENT - 1))) <= set(positions)
        assert sum(held.lengths) == 2 * min(held.end, held.tokens)


@pytest.mark.parametrize("name", EVICTING)
def test_prefill_true_cuts_a_long_prompt_at_once(model, name):
    seen = watch(model, policy_of(name, "method.budget.prefill=true"))
    first = seen.after[:3]
    assert [(held.end, held.exact) for held in first] == [(30, True)] * 3
    assert [sum(held.lengths) for held in first] == [2 * min(30, held.tokens) for held in first]
    # one at once, then after 8, 16, ... 40 steps; the others as ever
    assert {done.sample: done.usage.num_evictions for done in seen.generations} == ROUNDS | {"long": 1 + 5}


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
def test_methods_that_cut_the_prompt(decode, name, as_published, rounds, peaks):
    done = decode(policy_of(name, "method.budget.prefill=true", f"method.budget.{as_published}"), ALL)
    assert {generation.sample: generation.usage.num_evictions for generation in done} == rounds
    assert {generation.sample: generation.usage.peak_slots for generation in done} == peaks


@pytest.mark.parametrize("name", ["snapkv", "rkv_vase", "vase_attnv"])
def test_smoothing_by_rank_is_a_config(decode, baseline, name):
    policy = policy_of(name, "method.neighbours._target_=kvarena.methods.neighbours.ByRank")
    assert policy.needs.rank
    assert tokens_of(decode(policy, ALL)) != tokens_of(baseline(name))


@pytest.mark.parametrize("name", ["snapkv", "snapkv_original", "rkv", "gkv", "vase_attnv"])
@pytest.mark.parametrize(
    "setting",
    ["aggregate._target_=kvarena.methods.aggregate.Defensive", "weight._target_=kvarena.methods.weight.ByOutput"],
)
def test_aggregation_and_the_weight_of_values_are_configs(decode, baseline, name, setting):
    assert tokens_of(decode(policy_of(name, f"method.{setting}"), ALL)) != tokens_of(baseline(name))


@pytest.mark.parametrize("name", ["snapkv", "rkv_vase", "vase_attnv", "attn_random"])
def test_without_smoothing_the_order_of_neighbours_says_nothing(decode, name):
    by_position, by_rank = (
        policy_of(name, "method.smooth=1", f"method.neighbours._target_=kvarena.methods.neighbours.{order}")
        for order in ("ByPosition", "ByRank")
    )
    assert tokens_of(decode(by_position, ALL[:1])) == tokens_of(decode(by_rank, ALL[:1]))


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


@pytest.mark.parametrize("name", METHODS)
def test_a_budget_above_the_sequence_is_dense(decode, dense, name):
    done = decode(policy_of(name, tokens=100), ALL)
    assert tokens_of(done) == dense == tokens_of(decode(Full(), ALL))
    assert not any(generation.usage.num_evictions for generation in done)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "full"])
def test_a_small_budget_is_not_dense(baseline, dense, name):
    """Or nothing here would have been compressed."""
    assert tokens_of(baseline(name)) != dense


@pytest.mark.parametrize("of", ["snapkv", "h2o", "vase_attnv", "vase_dkv"])
@pytest.mark.parametrize(("name", "even"), [("adakv", "method.alpha=1.0"), ("pyramid", "method.beta=1")])
def test_an_even_allocation_is_the_method_token_for_token(decode, baseline, name, even, of):
    """Through a mask of survivors here, by the scores alone there."""
    done = decode(policy_of(name, f"method@method.of={of}", even), ALL)
    assert tokens_of(done) == tokens_of(baseline(of))
    assert [generation.usage for generation in done] == [generation.usage for generation in baseline(of)]


@pytest.mark.parametrize("name", METHODS)
def test_only_stochastic_methods_depend_on_the_seed(decode, baseline, name):
    same, other = (tokens_of(decode(policy_of(name), ALL, seed=seed)) for seed in (0, 1))
    assert same == tokens_of(baseline(name))
    assert (same != other) == (name in STOCHASTIC) == policy_of(name).stochastic


@pytest.mark.parametrize("name", METHODS)
def test_a_decoder_forgets(decode, name):
    """A, B, A through one row."""
    first, _, again = decode(policy_of(name), [ALL[1], ALL[0], ALL[1]], batch_size=1)
    assert first.sample == again.sample == "short"
    assert first.token_ids == again.token_ids
    assert first.usage == again.usage


@pytest.mark.parametrize("name", METHODS)
def test_neighbours_and_order_do_not_change_a_row(decode, baseline, name):
    """Alone, in other rows, in a place that was used before, beside rows that are due with it or at other steps."""
    expected = tokens_of(baseline(name))
    others = [request("due with long", 38), request("other", 5)]
    for crowd in (ALL[:1], ALL[::-1], [others[0], ALL[0], others[1], *ALL[1:]]):
        tokens = tokens_of(decode(policy_of(name), crowd))
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


@pytest.mark.parametrize("name", METHODS)
def test_batch_sizes_agree_up_to_rounding(decode, name):
    """30 tokens of prompt and 30 more, all different, four rounds between."""
    words = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()
    logits = []
    for batch_size, neighbours in ((1, []), (4, [*ALL[1:], request("other", 12)])):
        sampler = Dictated(words[30:])
        scripted = Request("script", 0, words[:30])
        decode(policy_of(name), [scripted, *neighbours], batch_size=batch_size, sampler=sampler, max_tokens=30)
        logits.append(torch.stack([sampler.logits[step] for step in range(30)]))
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_usage_accounts_for_what_was_read(baseline, name):
    policy = policy_of(name)
    for done in baseline(name):
        usage, end = done.usage, done.prompt_tokens + MAX_TOKENS - 1
        dense_mean = (done.prompt_tokens + 1 + end) / 2
        if policy.evicts:
            assert usage.tokens_read == usage.mean_slots < dense_mean
        else:
            assert (usage.peak_slots, usage.mean_slots) == (end, dense_mean)
            # one dense layer of three, 24 tokens at most in the others, by each of two query heads or by both
            read = TOKENS * (2 if name == "quest_per_query_head" else 1)
            assert usage.tokens_read <= (dense_mean if not policy.selects else (dense_mean + 2 * read) / 3)
        assert usage.resident_bytes >= usage.peak_slots * 3 * 2 * 2 * 16 * 4
