from collections import Counter
from dataclasses import replace

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.quest import Quest
from kvarena.methods.random import Random
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import cache
from kvarena.runners.generate import Decoder, Prompt, Request, generate
from kvarena.runners.sampler import Greedy, Sampling
from scipy import stats
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

SMALL = Budget(tokens=16, recent=4, sinks=2, interval=4)
TEXTS = ["t1 t2 t3", "t9", "t60 t5 t5 t5 t7 t8 t30 t31 t32 t33 t34 t35 t36 t37 t38 t39 t40 t41", "t4 t4", "t11 t12"]


@pytest.fixture(scope="module")
def tokenizer():
    words = Tokenizer(WordLevel({f"t{i}": i for i in range(64)}, unk_token="t0"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="t0")


@pytest.fixture
def decoder(model):
    def build(policy=None, **changes):
        options = dict(sampler=Greedy(), max_tokens=20, longest_prompt=20, batch_size=3)
        return Decoder(model=changes.pop("model", model), policy=policy or Full(), **(options | changes))

    return build


def tokens_of(generations):
    return {(done.sample, done.draw): done.token_ids for done in generations}


def greedy_of(model, prompt, num_tokens):
    ids = torch.tensor([prompt])
    whole = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=num_tokens, do_sample=False, pad_token_id=0
    )
    return whole[0, len(prompt) :].tolist()


def test_generate_continues_each_prompt_in_order(model, tokenizer):
    """Five prompts through two rows: when one ends, the next takes its place."""
    done = generate(model, tokenizer, TEXTS, Full(), max_tokens=12, batch_size=2)
    for text, generation in zip(TEXTS, done, strict=True):
        prompt = [int(word[1:]) for word in text.split()]
        assert generation.token_ids == greedy_of(model, prompt, 12)
        assert (generation.stop, generation.prompt_tokens) == ("length", len(prompt))
        # the last token is chosen and never appended
        assert generation.usage.peak_slots == len(prompt) + 11
        assert generation.usage.num_evictions == 0
        assert generation.prefill_s > 0
        assert generation.decode_s > 0


def test_generate_of_nothing_is_nothing(model, tokenizer):
    assert generate(model, tokenizer, [], Full(), max_tokens=5) == []


def test_an_empty_prompt_is_refused(model, tokenizer):
    with pytest.raises(ValueError, match="prompt of 0 tokens"):
        generate(model, tokenizer, ["t1", ""], Full(), max_tokens=5)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"max_tokens": 0}, "max_tokens=0: use "),
        ({"max_tokens": -1}, "max_tokens=-1"),
        ({"max_tokens": 2.5}, r"max_tokens=2\.5"),
        ({"max_tokens": True}, "max_tokens=true"),
        ({"max_tokens": None}, "max_tokens=null"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"prompts": "t1 t2"}, "prompts='t1 t2': one str, give a list of them"),
        ({"max_tokens": 511}, "sample 0: prompt of 2 tokens and max_tokens=511 exceed the 512 positions of the model"),
    ],
    ids=lambda value: "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_what_cannot_be_decoded_is_refused(model, tokenizer, asked, named):
    with pytest.raises(ValueError, match=named):
        generate(model, tokenizer, **({"prompts": ["t1 t2"], "policy": Full(), "max_tokens": 5} | asked))


def test_a_prompt_may_fill_the_positions_of_the_model(model, tokenizer):
    (done,) = generate(model, tokenizer, ["t1 " * 510], Full(), max_tokens=2)
    assert done.stop == "length"


def test_ruled_out_tokens_are_not_chosen_and_stop_no_row(tiny_model, tokenizer):
    model = tiny_model()
    for worst in (-torch.inf, torch.finfo(torch.float32).min):
        hook = model.lm_head.register_forward_hook(
            lambda module, inputs, output, worst=worst: output.index_fill(-1, torch.arange(2, 60), worst)
        )
        (done,) = generate(model, tokenizer, ["t1 t2 t3"], Full(), max_tokens=12)
        (drawn,) = generate(model, tokenizer, ["t1 t2 t3"], Full(), max_tokens=12, sampler=Sampling(temperature=3.0))
        assert done.token_ids == greedy_of(model, [1, 2, 3], 12)
        assert (done.stop, drawn.stop) == ("length", "length")
        assert set(drawn.token_ids) <= {0, 1, 60, 61, 62, 63}
        hook.remove()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_a_row_ends_where_no_choice_is_left(tiny_model, tokenizer, broken):
    model = tiny_model()
    everywhere = slice(None) if broken == -torch.inf else slice(5, 6)

    def hook(module, inputs, output):
        output[..., everywhere] = broken
        return output

    run = model.lm_head.register_forward_hook
    decoder = Decoder(model=model, policy=Full(), sampler=Greedy(), max_tokens=5, longest_prompt=3, batch_size=1)
    run(hook)
    (done,) = decoder.run([Request("a", 0, [1, 2, 3])])
    assert (done.token_ids, done.stop) == ([], "error")


def test_one_token_needs_no_step(decoder):
    run = decoder(max_tokens=1)
    (done,) = run.run([Request("a", 0, [1, 2, 3])])
    assert (len(done.token_ids), done.stop, run.steps) == (1, "length", 0)
    assert (done.usage.peak_slots, done.usage.mean_slots) == (3, 3)


def test_refill_wastes_no_step(decoder):
    """Six requests of 20 tokens in 3 rows: the first token is the prefill's, so two times 19 steps."""
    run = decoder()
    assert len(list(run.run(Request(str(i), 0, [i + 1]) for i in range(6)))) == 6
    assert run.steps == 38


def test_stops_at_eos_and_keeps_it(model, decoder, monkeypatch):
    prompt = [1, 2, 3]
    whole = greedy_of(model, prompt, 20)
    at = next(i for i in range(3, 20) if whole[i] not in whole[:i])
    monkeypatch.setattr(model.generation_config, "eos_token_id", [whole[at], 999])
    (done,) = decoder().run([Request("a", 0, prompt)])
    assert (done.token_ids, done.stop) == (whole[: at + 1], "eos")


def test_eos_as_the_first_token_frees_the_row_at_once(model, decoder, monkeypatch):
    monkeypatch.setattr(model.generation_config, "eos_token_id", greedy_of(model, [1, 2, 3], 1)[0])
    run = decoder(batch_size=1)
    done = list(run.run([Request("a", 0, [1, 2, 3])] * 3))
    assert [generation.stop for generation in done] == ["eos"] * 3
    assert run.steps == 0


def test_eos_on_the_last_allowed_token_is_eos(model, decoder, monkeypatch):
    whole = greedy_of(model, [1, 2, 3], 20)
    at = next(i for i in range(3, 20) if whole[i] not in whole[:i])
    monkeypatch.setattr(model.generation_config, "eos_token_id", whole[at])
    (done,) = decoder(max_tokens=at + 1).run([Request("a", 0, [1, 2, 3])])
    assert done.stop == "eos"


@pytest.fixture(scope="module")
def broken_model(tiny_model):
    """Token 63 has an embedding of NaN, and is never chosen."""
    built = tiny_model()
    with torch.no_grad():
        built.model.embed_tokens.weight[63] = torch.nan
        built.lm_head.weight[63] = 0
    return built


@pytest.mark.parametrize("policy", [Full(), StreamingLLM(budget=SMALL)], ids=["full", "evicting"])
def test_nan_logits_end_their_row_alone(broken_model, decoder, policy):
    """In one row: a broken prompt, then a healthy one; beside it another healthy one. Both as if alone."""
    requests = [Request("broken", 0, [5] * 17 + [63]), Request("beside", 0, [1, 2, 3]), Request("after", 0, [7, 8])]
    done = {d.sample: d for d in decoder(policy, model=broken_model, batch_size=2, max_tokens=30).run(requests)}
    assert (done["broken"].stop, done["broken"].token_ids) == ("error", [])
    for request in requests[1:]:
        (alone,) = decoder(policy, model=broken_model, batch_size=2, max_tokens=30).run([request])
        assert (done[request.sample].stop, done[request.sample].token_ids) == ("length", alone.token_ids)


def test_nan_in_the_middle_keeps_what_came_before(tiny_model, decoder):
    """The third token that is chosen breaks the model: it is kept, and the row ends."""
    built = tiny_model()
    whole = greedy_of(built, [1, 2, 3], 20)
    at = next(i for i in range(2, 20) if whole[i] not in [1, 2, 3, *whole[:i]])
    with torch.no_grad():
        built.model.embed_tokens.weight[whole[at]] = torch.nan
    (done,) = decoder(model=built).run([Request("a", 0, [1, 2, 3])])
    assert (done.stop, done.token_ids) == ("error", whole[: at + 1])


@pytest.mark.parametrize(
    "policy", [Full(), StreamingLLM(budget=SMALL), H2O(budget=SMALL), Quest(budget=SMALL, page=4)], ids=str
)
@pytest.mark.parametrize("look", [3, 8, 64])
def test_looking_seldom_changes_nothing_but_the_steps(model, decoder, monkeypatch, policy, look):
    """Rows that end between two looks: at an eos, at the limit, broken. Tokens and accounts are those of every step."""
    requests = [Request(str(i), 0, [i + 1] * (1 + 3 * i)) for i in range(6)]
    whole = greedy_of(model, requests[2].prompt, 30)
    monkeypatch.setattr(model.generation_config, "eos_token_id", whole[7])
    often, seldom = (
        {done.sample: done for done in decoder(policy, max_tokens=30, look=every).run(requests)} for every in (1, look)
    )
    assert {done.stop for done in often.values()} == {"eos", "length"}
    for sample, done in often.items():
        assert (seldom[sample].token_ids, seldom[sample].stop) == (done.token_ids, done.stop)
        assert seldom[sample].usage == done.usage


@pytest.mark.parametrize("policy", [StreamingLLM, H2O, Random], ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("row", [0, 2])
def test_a_row_that_ends_full_leaves_its_neighbours_alone(model, decoder, monkeypatch, policy, row):
    """Its eos is chosen at the step at which it is due: no round follows for it, and steps go on until the look.

    Budget and interval are a whole block: behind its slots there are another row's, and none behind the last row's.
    """
    prompts = [[1], [2]]
    prompts.insert(row, [3])
    requests = [Request(str(i), 0, prompt * 60) for i, prompt in enumerate(prompts)]
    options = dict(policy=policy(budget=replace(SMALL, tokens=60)), max_tokens=14, longest_prompt=60)
    whole = tokens_of(decoder(**options).run(requests))[str(row), 0]
    assert whole[4] not in whole[:4]
    monkeypatch.setattr(model.generation_config, "eos_token_id", whole[4])
    often, seldom = ({done.sample: done for done in decoder(look=every, **options).run(requests)} for every in (1, 8))
    assert (often[str(row)].stop, often[str(row)].usage.peak_slots) == ("eos", 64)
    for sample, done in often.items():
        assert (seldom[sample].token_ids, seldom[sample].usage) == (done.token_ids, done.usage)


@pytest.mark.parametrize(("trace", "looks"), [(0, 4), (1, 29)], ids=["free", "traced"])
def test_rounds_are_launched_without_a_look(decoder, tmp_path, trace, looks):
    """Rows are due at every step, one after the other; a trace is to see each round."""
    ours = decoder(Random(budget=SMALL), max_tokens=30, look=8, batch_size=4, trace=trace, output_dir=tmp_path)
    look, counts = ours.buffer.look, []
    ours.buffer.look = lambda count: (counts.append(count), look(count))[1]
    done = list(ours.run(Request(str(i), 0, [1] * (16 + i)) for i in range(4)))
    assert [each.usage.num_evictions for each in done] == [7, 7, 7, 7]
    assert (sum(count > 0 for count in counts), sum(counts), ours.steps) == (looks, 29, 29)


@pytest.mark.parametrize("look", [1, 8])
@pytest.mark.parametrize(
    ("length", "prefill", "steps"),
    [
        # 16 tokens are kept: due at 20, 24, ... slots, the first token comes from the prompt, none after the last
        (3, False, [18, 22, 26]),
        (18, False, [3, 7, 11, 15, 19, 23, 27]),
        (18, True, [1, 5, 9, 13, 17, 21, 25, 29]),
    ],
)
def test_a_row_says_after_which_tokens_it_was_evicted(decoder, look, length, prefill, steps):
    policy = StreamingLLM(budget=replace(SMALL, prefill=prefill))
    (done,) = decoder(policy, max_tokens=30, look=look).run([Request("a", 0, [1] * length)])
    assert done.usage.eviction_steps == steps
    assert done.usage.num_evictions == len(steps)


def test_a_dense_layer_grows_with_its_sequence(model, decoder, monkeypatch):
    monkeypatch.setattr(cache, "GROWTH", 8)
    run = decoder(max_tokens=150, longest_prompt=4)
    slots = [run.cache.layers[0].keys.shape[2]]
    (done,) = run.run([Request("a", 0, [1, 2, 3])])
    slots.append(run.cache.layers[0].keys.shape[2])
    assert slots == [64, 192]
    assert done.token_ids == greedy_of(model, [1, 2, 3], 150)


def test_sampling_is_a_function_of_seed_sample_and_draw(decoder):
    requests = [Request(sample, draw, [1, 2, 3]) for sample in "ab" for draw in (0, 1)]
    options = dict(sampler=Sampling(temperature=1.5), seed=3)
    one = tokens_of(decoder(**options).run(requests))
    assert len({tuple(tokens) for tokens in one.values()}) == 4
    assert tokens_of(decoder(**options).run(reversed(requests))) == one
    assert tokens_of(decoder(**options).run(requests[1:2])) == {("a", 1): one["a", 1]}
    assert not set(map(tuple, tokens_of(decoder(**(options | {"seed": 4})).run(requests)).values())) & set(
        map(tuple, one.values())
    )


def test_first_tokens_are_drawn_from_the_model(model, decoder):
    draws = 600
    logits = model(torch.tensor([[1, 2, 3]])).logits[0, -1].detach()
    run = decoder(max_tokens=1, batch_size=1, sampler=Sampling(temperature=0.5, top_k=5))
    counts = Counter(done.token_ids[0] for done in run.run(Request("a", draw, [1, 2, 3]) for draw in range(draws)))
    best = logits.topk(5)
    assert set(counts) <= set(best.indices.tolist())
    expected = draws * (best.values / 0.5).softmax(-1)
    assert (
        stats.chisquare([counts[i] for i in best.indices.tolist()], expected.double().numpy(), sum_check=False).pvalue
        > 1e-3
    )


def test_the_sampler_does_not_share_noise_with_the_method(decoder):
    """Nothing is evicted here, so a stochastic method must leave the sampled tokens as they are."""
    requests = [Request("a", 0, [1, 2, 3]), Request("b", 0, [4])]
    roomy = Random(budget=Budget(tokens=200))
    options = dict(sampler=Sampling(temperature=1.5))
    assert tokens_of(decoder(**options).run(requests)) == tokens_of(decoder(roomy, **options).run(requests))


def test_the_model_is_given_back_as_it_was(model, decoder):
    before = model.config._attn_implementation
    list(decoder().run([Request("a", 0, [1])]))
    assert model.config._attn_implementation == before
    run = decoder().run(Request(str(i), 0, [1]) for i in range(9))
    next(run)
    run.close()
    assert model.config._attn_implementation == before


def test_draws_of_one_prompt_read_it_once(model, decoder, monkeypatch):
    """Eight draws of two prompts through three rows say what each says alone."""
    sampler = Sampling(temperature=1.0)
    requests = [Request(name, draw, [3, 1, size]) for name, size in (("a", 5), ("b", 6)) for draw in range(4)]
    alone = {}
    for request in requests:
        alone |= tokens_of(decoder(H2O(budget=SMALL), sampler=sampler).run([request]))
    run, read, forward = decoder(H2O(budget=SMALL), sampler=sampler), [], Prompt.forward
    monkeypatch.setattr(Prompt, "forward", lambda *given: (read.append(given[2]), forward(*given))[1])
    assert tokens_of(run.run(requests)) == alone
    assert read == [(3, 1, 5), (3, 1, 6)]


def test_what_ended_is_handed_over_while_the_next_steps_run(decoder):
    """The first token is the prompt's, so the short one has ended after two steps."""
    run = decoder(batch_size=2)
    done = run.run([Request("short", 0, [1], [5] * 3), Request("long", 0, [2], [5] * 9)])
    assert (next(done).sample, run.steps) == ("short", 3)
    assert (next(done).sample, run.steps) == ("long", 8)
    assert list(done) == []


def test_the_last_one_may_bring_another(decoder):
    waiting, names = [Request("a", 0, [1])], []

    class Growing:
        def __iter__(self):
            return self

        def __next__(self):
            if not waiting:
                raise StopIteration
            return waiting.pop()

    for generation in decoder(max_tokens=3).run(Growing()):
        names.append(generation.sample)
        if len(names) < 3:
            waiting.append(Request(names[-1] + "a", 0, [1]))
    assert names == ["a", "aa", "aaa"]
