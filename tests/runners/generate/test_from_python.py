"""`generate`: what it takes and gives beside the tokens, which test_decoder.py holds."""

import re

import pytest
import torch
from kvarena.kernels.pack import Affine, Fp8
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.random import Random
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import Storage
from kvarena.runners.generate import Decoder, Request, generate
from kvarena.runners.generate.speech import Speech
from kvarena.runners.sampler import Greedy, Sampling
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast
from transformers.generation import RepetitionPenaltyLogitsProcessor

SMALL = Budget(tokens=16, recent=4, sinks=2, interval=4)
TEXTS = ["t1 t2 t3", "t9", "t60 t5 t5 t5 t7 t8 t30 t31 t32 t33 t34 t35 t36 t37 t38 t39 t40 t41", "t4 t4", "t11 t12"]
TEMPLATE = """{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}t60 \
{{ m['content'] }} {% endfor %}{% if add_generation_prompt %}t61{% endif %}"""
CHAT = [{"role": "system", "content": "t5"}, {"role": "user", "content": "t1 t2"}]


@pytest.fixture(scope="module")
def tokenizer():
    words = Tokenizer(WordLevel({f"t{i}": i for i in range(64)}, unk_token="t0"))
    words.pre_tokenizer = Whitespace()
    words.decoder = decoders.Sequence([decoders.Replace("t", " t"), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=words, chat_template=TEMPLATE)


def ids(text):
    return [int(word[1:]) for word in text.split()]


def spelt(token_ids):
    return " ".join(f"t{token}" for token in token_ids)


def test_strings_chats_and_token_ids_are_the_same_prompts(model, tokenizer):
    by_string = generate(model, tokenizer, ["t60 t5 t60 t1 t2 t61", "t60 t9 t61"], Full(), max_tokens=9)
    chats = [CHAT, [{"role": "user", "content": "t9"}]]
    assert tokens(generate(model, tokenizer, chats, Full(), max_tokens=9)) == tokens(by_string)
    token_ids = [[60, 5, 60, 1, 2, 61], torch.tensor([60, 9, 61]).tolist()]
    assert tokens(generate(model, tokenizer, token_ids, Full(), max_tokens=9)) == tokens(by_string)
    assert [one.prompt_tokens for one in by_string] == [6, 3]


def tokens(generations):
    return [one.token_ids for one in generations]


KINDS = "use strings, chats (lists of messages with role and content) or lists of token ids"


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("t1 t2", "prompts='t1 t2': one str, give a list of them"),
        (7, "prompts=7: use a list of " + KINDS[4:]),
        (CHAT, f"prompts={CHAT}: the messages of one chat, give a list of such lists"),
        ([1, 2, 3], "prompts=[1, 2, 3]: the token ids of one prompt, give a list of such lists"),
        (["t1", ""], "prompts[1]='' is a prompt of 0 tokens: give one or more"),
        ([[1], []], "prompts[1]=[] is a prompt of 0 tokens: give one or more, or a message"),
        (["t1", [1]], "prompts[0] is a string, prompts[1] token ids: give all of one kind"),
        ([CHAT, "t1"], "prompts[0] is a chat, prompts[1] a string: give all of one kind"),
        ([[1, "t1"]], f"prompts[0] holds 1, no token id and no message: {KINDS}"),
        ([[1.0]], f"prompts[0] holds 1.0, no token id and no message: {KINDS}"),
        ([[True]], f"prompts[0] holds true, no token id and no message: {KINDS}"),
        ([None], f"prompts[0]=null is a NoneType: {KINDS}"),
        ([[{"role": "user"}]], "prompts[0] has a message without content: give each a role and a content"),
        ([[{"text": "t1"}]], "prompts[0] has a message without role: give each a role and a content"),
        (
            [[{"role": "tool", "content": "t1"}]],
            "prompts[0]: the tokenizer's chat template refuses it (no tools here), ",
        ),
        ([[1], [2, 64]], "prompts[1] holds token 64, the model has 64: use its tokenizer"),
        ([[-1]], "prompts[0] holds token -1, the model has 64: use its tokenizer"),
    ],
    ids=str,
)
def test_what_is_no_prompt_is_refused(model, tokenizer, prompts, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        generate(model, tokenizer, prompts, Full(), max_tokens=5)


def test_a_chat_needs_a_template(model, tokenizer):
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(ValueError, match=r"prompts\[0\] is a chat and the tokenizer has no chat template"):
        generate(model, bare, [CHAT], Full(), max_tokens=5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model": "models/x"}, "model=models/x is a path: give AutoModelForCausalLM.from_pretrained('models/x')"),
        ({"tokenizer": "models/x"}, "tokenizer=models/x is a path: give AutoTokenizer.from_pretrained('models/x')"),
        ({"policy": "full"}, "policy=full: use a kvarena.methods.policy.Policy"),
        ({"sampler": 0.6}, "sampler=0.6: use a class with "),
        ({"seed": "a"}, "seed=a: use a whole number"),
        ({"stop": "t1"}, "stop='t1': one str, give a list of them"),
        ({"stop": [3]}, "stop=[3]: use a list, each a text"),
        ({"stop": ["t1", ""]}, "stop holds '', which stands in every text: give strings of one character or more"),
        ({"n": 0}, "n=0: use 1 or more"),
        ({"n": 4}, "n=4: nothing is drawn, so all would be equal; use n=1, or sampler=Sampling(...)"),
        ({"logprobs": 0}, "logprobs=0: use 1 or more"),
        ({"logprobs": 65}, "logprobs=65: the model has 64 tokens, ask for at most these"),
        ({"on_token": 3}, "on_token=3: use a function of sample, draw, token_id and text"),
        ({"trace": "models"}, "trace=models is there and not empty: give a new folder"),
        ({"trace": 3}, "trace=3: use "),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_asked_otherwise_is_refused(model, tokenizer, asked, message):
    given = {"model": model, "tokenizer": tokenizer, "prompts": ["t1"], "policy": Full(), "max_tokens": 5}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        generate(**(given | asked))


def test_a_text_says_what_the_tokens_say(model, tokenizer):
    for options in ({}, {"stop": ["never"]}, {"on_token": lambda *what: None}):
        for one in generate(model, tokenizer, TEXTS, Full(), max_tokens=12, **options):
            assert one.text == spelt(one.token_ids)


@pytest.mark.parametrize("policy", [Full(), StreamingLLM(budget=SMALL)], ids=["full", "evicting"])
@pytest.mark.parametrize("look", [1, 8])
def test_a_stop_string_ends_its_row_alone(model, tokenizer, policy, look):
    """It straddles the fifth and the sixth token of the first row; the others end where it stands in them, or not."""
    free = generate(model, tokenizer, TEXTS, policy, max_tokens=30)
    first = spelt(free[0].token_ids)
    stop = f"{free[0].token_ids[4] % 10} t{free[0].token_ids[5]}"
    requests = [Request(str(index), 0, ids(text)) for index, text in enumerate(TEXTS)]
    decoder = Decoder(
        model=model,
        policy=policy,
        sampler=Greedy(),
        max_tokens=30,
        longest_prompt=18,
        batch_size=2,
        look=look,
        watch=lambda request: Speech(request, tokenizer, [stop], None),
    )
    stopped = {one.sample: one for one in decoder.run(requests)}
    for one in free:
        text, whole = stopped[one.sample].text, spelt(one.token_ids)
        assert text == whole.partition(stop)[0]
        said = stopped[one.sample].token_ids
        assert said == one.token_ids[: len(said)]
        assert stopped[one.sample].stop == ("string" if stop in whole else "length")
        assert stop in spelt(said) or len(said) == 30
        assert stop not in spelt(said[:-1])
    assert stopped["0"].text == first[: first.index(stop)]
    assert len(stopped["0"].token_ids) <= 6
    assert stopped["0"].usage.peak_slots <= 3 + 5
    alone = generate(model, tokenizer, TEXTS[:1], policy, max_tokens=30, stop=[stop])
    assert (alone[0].text, alone[0].usage) == (stopped["0"].text, stopped["0"].usage)


def test_a_stop_string_at_the_last_token_is_one(model, tokenizer):
    (free,) = generate(model, tokenizer, ["t9"], Full(), max_tokens=5)
    (done,) = generate(model, tokenizer, ["t9"], Full(), max_tokens=5, stop=[f"t{free.token_ids[-1]}"])
    at = free.token_ids.index(free.token_ids[-1])
    assert (done.stop, done.token_ids) == ("string", free.token_ids[: at + 1])


def test_draws_of_a_prompt_stand_together(model, tokenizer):
    sampler = Sampling(temperature=2.0)
    one = generate(model, tokenizer, TEXTS[:2], Full(), max_tokens=8, sampler=sampler, seed=3)
    three = generate(model, tokenizer, TEXTS[:2], Full(), max_tokens=8, sampler=sampler, seed=3, n=3, batch_size=4)
    assert [(done.sample, done.draw) for done in three] == [("0", 0), ("0", 1), ("0", 2), ("1", 0), ("1", 1), ("1", 2)]
    assert [three[0].token_ids, three[3].token_ids] == tokens(one)
    assert len(set(map(tuple, tokens(three)))) == 6


def test_a_method_that_draws_may_be_asked_for_several(model, tokenizer):
    done = generate(model, tokenizer, TEXTS[2:3], Random(budget=SMALL), max_tokens=30, n=2)
    assert done[0].token_ids != done[1].token_ids


def last_logits(model, sequence):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([sequence])).logits[0].double()


def test_logprobs_are_those_of_transformers(model, tokenizer):
    """Its own logits, its own penalty; the temperature plays no part."""
    sampler = Sampling(temperature=3.0, repetition_penalty=1.3)
    for given in (Greedy(), sampler):
        free = generate(model, tokenizer, TEXTS, Full(), max_tokens=12, sampler=given, batch_size=2)
        done = generate(model, tokenizer, TEXTS, Full(), max_tokens=12, sampler=given, batch_size=2, logprobs=4)
        assert tokens(done) == tokens(free)
        assert {one.logprobs for one in free} == {None}
        for text, one in zip(TEXTS, done, strict=True):
            sequence = [*ids(text), *one.token_ids]
            logits = last_logits(model, sequence)[len(ids(text)) - 1 : -1]
            assert len(one.logprobs) == len(one.token_ids) == 12
            for at, (token, step) in enumerate(zip(one.token_ids, one.logprobs, strict=True)):
                seen = logits[at][None]
                if given is sampler:
                    said = torch.tensor([sequence[: len(ids(text)) + at]])
                    seen = RepetitionPenaltyLogitsProcessor(1.3)(said, seen)
                logs = seen[0].log_softmax(-1)
                top = logs.topk(4)
                assert list(step.top) == top.indices.tolist()
                assert list(step.top.values()) == pytest.approx(top.values.tolist(), abs=1e-4)
                assert step.chosen == pytest.approx(logs[token].item(), abs=1e-4)


def test_logprobs_of_a_row_do_not_depend_on_its_neighbours(model, tokenizer):
    options = dict(max_tokens=40, logprobs=2)
    policy = SnapKV(budget=SMALL)
    together = generate(model, tokenizer, TEXTS, policy, batch_size=2, **options)
    for text, one in zip(TEXTS, together, strict=True):
        (alone,) = generate(model, tokenizer, [text], policy, batch_size=2, **options)
        assert alone.logprobs == one.logprobs


def test_tokens_come_as_they_are_said(model, tokenizer):
    heard = []
    (free,) = generate(model, tokenizer, ["t9"], Full(), max_tokens=9)
    stop = f"{free.token_ids[3] % 10} t{free.token_ids[4]}"
    options = dict(max_tokens=9, batch_size=2, stop=[stop])
    done = generate(model, tokenizer, TEXTS, Full(), on_token=lambda *what: heard.append(what), **options)
    for one in done:
        own = [(token, text) for sample, draw, token, text in heard if (sample, draw) == (one.sample, one.draw)]
        assert [token for token, _ in own] == one.token_ids
        assert "".join(text for _, text in own) == one.text
    assert "string" in {one.stop for one in done}
    assert [what[0] for what in heard[:5]] == ["0", "1", "0", "1", "0"]  # two rows, side by side


def test_what_a_listener_raises_ends_the_run(model, tokenizer):
    before = model.config._attn_implementation

    def enough(sample, draw, token_id, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(model, tokenizer, TEXTS, Full(), max_tokens=9, on_token=enough)
    assert model.config._attn_implementation == before


def test_traces_of_all_go_into_a_folder(model, tokenizer, tmp_path):
    policy = SnapKV(budget=SMALL)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new/traces", tmp_path / "empty"):
        done = generate(model, tokenizer, TEXTS[:2], policy, max_tokens=30, trace=str(folder), batch_size=1)
        names = sorted(path.name for path in folder.glob("*.safetensors"))
        assert names == ["0-0.safetensors", "1-0.safetensors"]
        for one in done:
            trace = load_file(folder / f"{one.sample}-0.safetensors")
            kept = {name for name in trace if name.endswith("/0/kept")}
            assert len(kept) == one.usage.num_evictions > 0
            assert trace["0/0/kept"].shape == (2, 16)


def test_a_packed_cache_is_an_argument(model, tokenizer):
    """Eight bits in place of 32, and a scale: the prompt alone decides the first word; bytes are those of the codes."""
    storage = Storage(keys=Fp8(), values=Affine(bits=8, group=16))
    plain = generate(model, tokenizer, TEXTS, Full(), max_tokens=9)
    packed = generate(model, tokenizer, TEXTS, Full(), max_tokens=9, storage=storage)
    assert [one[0] for one in tokens(packed)] == [one[0] for one in tokens(plain)]
    for one, other in zip(packed, plain, strict=True):
        assert one.usage.resident_bytes / other.usage.resident_bytes == (18 + 20 + 4) / (64 + 64 + 4)
    with pytest.raises(ValueError, match="storage=fp8: use a kvarena"):
        generate(model, tokenizer, TEXTS, Full(), max_tokens=9, storage="fp8")
    wide = Storage(keys=Affine(bits=4, group=32), values=Fp8())
    with pytest.raises(ValueError, match="head size 16: format int4g32 has groups of 32"):
        generate(model, tokenizer, TEXTS, Full(), max_tokens=9, storage=wide)
