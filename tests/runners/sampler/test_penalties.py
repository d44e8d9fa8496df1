"""What was said takes from what may be said next what transformers' processors take."""

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy, Sampling
from transformers import (
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

V = 12
CPU = torch.device("cpu")
SETTINGS = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"suppress_tokens": [0, 5, 11]},
    {"repetition_penalty": 1.1, "no_repeat_ngram_size": 2, "suppress_tokens": [3]},
]
named = pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(f"{k}{v}" for k, v in s.items()))


def processors(settings) -> LogitsProcessorList:
    """In the order of transformers' generate."""
    made = []
    if "repetition_penalty" in settings:
        made.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if "no_repeat_ngram_size" in settings:
        made.append(NoRepeatNGramLogitsProcessor(settings["no_repeat_ngram_size"]))
    if "suppress_tokens" in settings:
        made.append(SuppressTokensLogitsProcessor(settings["suppress_tokens"]))
    return LogitsProcessorList(made)


@named
def test_each_step_of_rows_of_unlike_lengths_is_that_of_transformers(settings, rng):
    """Rows of few kinds of token, so that n-grams repeat; a prompt takes the place of a longer one."""
    history = Greedy(**settings).history(2, 40, V, CPU)
    history.begin(0, torch.randint(0, 4, (40,), generator=rng).tolist())
    texts = [torch.randint(0, 4, (length,), generator=rng).tolist() for length in (1, 9)]
    for row, text in enumerate(texts):
        history.begin(row, text)
    rows = torch.arange(2)
    for _ in range(30):
        logits = torch.randn(2, V, generator=rng)
        logits[0, 7] = -torch.inf
        ours = history.penalised(logits, rows)
        for row, text in enumerate(texts):
            theirs = processors(settings)(torch.tensor([text]), logits[row : row + 1].clone())[0]
            assert torch.equal(ours[row], theirs)
        (new,) = torch.randint(0, 4, (1, 2), generator=rng)
        history.add(rows, new)
        for text, token in zip(texts, new.tolist(), strict=True):
            text.append(token)


def test_some_rows_of_all_are_penalised_by_what_they_said(rng):
    history = Greedy(repetition_penalty=2.0).history(3, 9, V, CPU)
    history.begin(2, [1, 4])
    assert history.penalised(torch.ones(1, V), torch.tensor([2]))[0].tolist() == [1, 0.5, 1, 1, 0.5, *[1] * 7]


def test_a_full_row_may_go_on_idle():
    history = Greedy(repetition_penalty=2.0).history(1, 3, V, CPU)
    history.begin(0, [1, 2])
    for token in (3, -1, 5):
        history.add(torch.tensor([0]), torch.tensor([token]))
    assert history.lengths.tolist() == [3]


@pytest.mark.parametrize("sampler", [Greedy, Sampling], ids=lambda sampler: sampler.__name__)
def test_neutral_ones_take_no_memory_and_leave_logits_alone(sampler):
    assert sampler().history(4, 100, V, CPU) is None
    assert sampler(repetition_penalty=1, no_repeat_ngram_size=0, suppress_tokens=[]).history(4, 100, V, CPU) is None


@pytest.mark.parametrize("policy", [Full(), StreamingLLM(budget=Budget(tokens=90, recent=4))], ids=["full", "evicts"])
@pytest.mark.parametrize("look", [1, 8])
@named
def test_tokens_are_those_of_transformers(model, settings, policy, look):
    """Three prompts through two rows; the processors see prompt and completion, whatever the cache holds."""
    prompts = [[5, 9, 5, 9, 5], list(range(2, 30)), [7]]
    decoder = Decoder(
        model=model,
        policy=policy,
        sampler=Greedy(**settings),
        max_tokens=24,
        longest_prompt=28,
        batch_size=2,
        look=look,
    )
    done = {d.sample: d.token_ids for d in decoder.run(Request(str(i), 0, p) for i, p in enumerate(prompts))}
    for i, prompt in enumerate(prompts):
        ids = torch.tensor([prompt])
        options = dict(max_new_tokens=24, do_sample=False, pad_token_id=0, **settings)
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, len(prompt) :].tolist()
        assert done[str(i)] == theirs


def test_draws_are_of_what_is_left(model):
    sampler = Sampling(temperature=5.0, suppress_tokens=list(range(3, 64)), no_repeat_ngram_size=2)
    decoder = Decoder(model=model, policy=Full(), sampler=sampler, max_tokens=30, longest_prompt=1, batch_size=1)
    (done,) = decoder.run([Request("a", 0, [1])])
    pairs = list(zip([1, *done.token_ids], done.token_ids, strict=False))
    assert set(done.token_ids) <= {0, 1, 2}
    assert len(set(pairs)) == len(pairs)
    assert done.stop == "error"  # of three tokens there are nine pairs: no choice is left then


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty=0"),
        ({"repetition_penalty": -1.0}, "repetition_penalty=-1"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty=nan"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size=-1"),
        ({"no_repeat_ngram_size": 1.5}, r"no_repeat_ngram_size=1\.5"),
        ({"suppress_tokens": 5}, "suppress_tokens=5"),
        ({"suppress_tokens": [-1]}, r"suppress_tokens=\[-1\]"),
        ({"suppress_tokens": ["a"]}, "suppress_tokens="),
    ],
    ids=lambda value: "-".join(f"{k}{v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("sampler", [Greedy, Sampling], ids=lambda sampler: sampler.__name__)
def test_what_cannot_work_is_refused(sampler, changes, refused):
    with pytest.raises(ValueError, match=refused):
        sampler(**changes)


def test_a_token_that_the_model_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"sampler\.suppress_tokens=\[12\]: the model has 12 tokens"):
        Greedy(suppress_tokens=[3, 12]).history(1, 5, V, CPU)
