"""The engine of CUDA graphs against the eager one: the same tokens and accounts."""

import sys
from functools import partial
from importlib.resources import files

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.foresight import Foresight
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.oracle import Oracle
from kvarena.methods.quest import Quest
from kvarena.methods.rkv import RKVVaSE
from kvarena.methods.rocketkv import RocketKV
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV
from kvarena.runners.cache import Shape
from kvarena.runners.fidelity import Examiner, dense_states, fidelity, longest
from kvarena.runners.generate import Decoder, Request, narrowing
from kvarena.runners.generate.speech import Speech
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.graphs.decoder import capturing
from kvarena.runners.graphs.fused import fuse
from kvarena.runners.model import eos_ids
from kvarena.runners.sampler import Greedy, Sampling
from kvarena.tasks.procedural.graph_search import GraphSearch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPTNeoXConfig, OPTConfig

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
GREEDY, SAMPLING = Greedy(), Sampling(temperature=0.6, top_k=20, top_p=0.95)
BUDGET = Budget(tokens=116, recent=16, interval=16)
POLICIES = {
    "full": Full(),
    "snapkv": SnapKV(budget=BUDGET),
    "rkv_vase": RKVVaSE(budget=BUDGET),
    "vase_attnv": VaSEAttnV(budget=BUDGET),
    "vase_dkv": VaSEDKV(budget=BUDGET),
    "foresight": Foresight(budget=BUDGET, scorer="reasoner"),
    "h2o": H2O(budget=BUDGET),
    "quest": Quest(budget=BUDGET),
    "oracle": Oracle(budget=BUDGET),
    "rocketkv": RocketKV(budget=BUDGET, reads=58, length=232),
    "adakv": AdaKV(budget=BUDGET, of=SnapKV(budget=BUDGET)),
    # due at every step, of whole blocks of slots: whoever ends does so full
    "streaming": StreamingLLM(budget=Budget(tokens=127, recent=16, interval=1)),
}


def test_without_a_gpu_it_says_so(tiny_model):
    with pytest.raises(ValueError, match="needs a CUDA device"):
        GraphDecoder(model=tiny_model(), policy=Full(), sampler=Greedy(), max_tokens=8, longest_prompt=4, batch_size=2)


def test_several_prompts_at_once_are_captured_or_refused(tiny_model):
    asked = dict(sampler=Greedy(), max_tokens=8, longest_prompt=4, batch_size=2, prompts_at_once=4)
    with pytest.raises(ValueError, match=r"^engine.prompts_at_once=4 is for captured prompts: .*capture_prompts=true"):
        GraphDecoder(model=tiny_model(), policy=Full(), **asked)


CUDA = torch.device("cuda")  # named, not used


def test_without_triton_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ValueError, match=r"device=cuda needs Triton for its kernels: pip install 'kvarena\[gpu\]'"):
        GraphDecoder.check(Shape(layers=1, heads=1, groups=1, dim=64), CUDA)


@pytest.mark.parametrize("engine", [Decoder, GraphDecoder])
def test_a_head_size_that_the_kernels_do_not_take(engine):
    with pytest.raises(ValueError, match="head size 80: the Triton kernels take 16, 32, 64, 128, 256; use device=cpu"):
        engine.check(Shape(layers=1, heads=1, groups=1, dim=80), CUDA)
    engine.check(Shape(layers=1, heads=1, groups=1, dim=128), CUDA)


@pytest.mark.parametrize("config", [GPT2Config, GPTNeoXConfig, OPTConfig], ids=["gpt2", "gpt_neox", "opt"])
def test_a_family_that_keeps_its_layers_elsewhere(config):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config(num_hidden_layers=1, hidden_size=24, num_attention_heads=12))
    with pytest.raises(ValueError, match=r"^engine=graphs looks for model.layers, which .* has not: use engine=eager$"):
        fuse(model)


def test_what_cannot_be_captured_is_a_refusal():
    why = "CUDA error: operation not permitted when stream is capturing"
    with pytest.raises(ValueError, match=f"^engine=graphs cannot capture model mixtral: {why}; use engine=eager$"):  # noqa: SIM117
        with capturing("mixtral"):
            raise RuntimeError(f"{why}\nCUDA kernel errors might be reported later")
    with pytest.raises(torch.OutOfMemoryError), capturing("mixtral"):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def model_on_gpu():
    folder = str(files("kvarena.models") / "reasoner")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).cuda().eval()
    return model, AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def soon(monkeypatch):
    """Rows narrow at once, down to one."""
    monkeypatch.setattr(narrowing, "PATIENCE", 1)
    monkeypatch.setattr(narrowing, "LEAST", 1)


@pytest.fixture(scope="module")
def requests():
    _, tokenizer = model_on_gpu()
    task = GraphSearch(num_nodes=12, num_edges=15, min_chain=80, max_chain=240)
    chats = [[{"role": "user", "content": task.problem(seed=2**30 + i).question}] for i in range(16)]
    prompts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats]
    return [Request(str(i), 0, prompt) for i, prompt in enumerate(prompts)]


@gpu
@pytest.mark.parametrize("at_once", [0, 1, 4], ids=["", "prompts", "four_prompts"])
@pytest.mark.parametrize(("name", "sampler"), [*((name, GREEDY) for name in POLICIES), ("vase_attnv", SAMPLING)])
def test_tokens_are_those_of_the_eager_engine(requests, name, sampler, at_once):
    """16 problems through 10 rows, so rows are refilled and rounds come for few rows at a time."""
    done = []
    graphs = partial(GraphDecoder, capture_prompts=at_once > 0, prompts_at_once=max(at_once, 1))
    for engine in Decoder, graphs:
        model, _ = model_on_gpu()
        decoder = engine(
            model=model,
            policy=POLICIES[name],
            sampler=sampler,
            max_tokens=240,
            longest_prompt=max(len(request.prompt) for request in requests),
            batch_size=10,
        )
        done.append({generation.sample: generation for generation in decoder.run(requests)})
    eager, graphs = done
    same = [sample for sample in eager if eager[sample].token_ids == graphs[sample].token_ids]
    assert len(same) >= 14  # a product in another order may tip a choice between two near-equal slots
    for sample in same:
        assert graphs[sample].usage == eager[sample].usage
        assert graphs[sample].stop == eager[sample].stop


def narrowing_twice(requests, **options):
    """By sample: with all ten rows, and with fewer as the run ends; both twice through one decoder."""
    done = []
    for narrow in False, True:
        options = dict(sampler=GREEDY, max_tokens=240, longest_prompt=100, batch_size=10) | options
        decoder = GraphDecoder(model=model_on_gpu()[0], narrow=narrow, **options)
        first, again = ({each.sample: each for each in decoder.run(requests)} for _ in range(2))
        for sample, each in first.items():
            assert (again[sample].token_ids, again[sample].usage) == (each.token_ids, each.usage)
        assert (decoder.places < 10 * decoder.steps) == narrow
        done.append(first)
    return done


@gpu
@pytest.mark.parametrize(("name", "sampler"), [*((name, GREEDY) for name in POLICIES), ("vase_attnv", SAMPLING)])
def test_steps_of_fewer_rows_say_the_same(requests, soon, name, sampler):
    wide, narrow = narrowing_twice(requests, policy=POLICIES[name], sampler=sampler)
    same = [sample for sample in wide if wide[sample].token_ids == narrow[sample].token_ids]
    assert len(same) >= 14  # equal tokens have values that differ in the last bit where their steps had unlike rows
    for sample in same:
        assert narrow[sample].usage == wide[sample].usage
        assert narrow[sample].stop == wide[sample].stop


@gpu
def test_steps_of_fewer_rows_while_dense_layers_grow(requests, soon, monkeypatch):
    """Programs for all rows and for fewer are gone when memory moves, and a second run captures all rows anew."""
    from kvarena.runners.cache import cache

    monkeypatch.setattr(cache, "GROWTH", 16)
    wide, narrow = narrowing_twice(requests, policy=Full())
    assert {sample: each.token_ids for sample, each in narrow.items()} == {
        sample: each.token_ids for sample, each in wide.items()
    }


def texts_of(requests) -> list[tuple[list[int], list[int]]]:
    """Prompts, and what may be said after each."""
    ends = eos_ids(model_on_gpu()[0])
    words = [[token for token in request.prompt * 2 if token not in ends] for request in requests]
    return [(request.prompt, said[: 30 + 9 * i]) for i, (request, said) in enumerate(zip(requests, words, strict=True))]


@gpu
@pytest.mark.parametrize("name", ["vase_attnv", "h2o"])
def test_forced_texts_drift_as_far_in_steps_of_fewer_rows(requests, soon, name):
    drifts = []
    for engine in (
        Decoder,
        GraphDecoder,
        partial(GraphDecoder, narrow=True),
        partial(GraphDecoder, capture_prompts=True),
    ):
        model, tokenizer = model_on_gpu()
        found = fidelity(model, tokenizer, texts_of(requests), POLICIES[name], batch_size=10, engine=engine)
        drifts.append(sum(sum(drift.kl) for drift in found))
    assert drifts[1:] == pytest.approx(drifts[:1] * 3, rel=0.05)


@gpu
@pytest.mark.parametrize("name", ["full", "vase_attnv", "quest"])
def test_a_forced_step_is_captured(requests, monkeypatch, name):
    """Once all is captured no code of the model runs, and the drift is the same."""
    model, _ = model_on_gpu()
    forced = [Request(str(i), 0, *text) for i, text in enumerate(texts_of(requests))]
    states = dense_states(model, forced, GraphDecoder, 10)
    decoder = GraphDecoder(
        model=model,
        policy=POLICIES[name],
        sampler=GREEDY,
        max_tokens=longest(forced),
        longest_prompt=max(len(request.prompt) for request in forced),
        batch_size=10,
        teacher=Examiner(model, batch_size=10, longest=longest(forced), states=states),
        capture_prompts=True,
    )
    first, calls = {each.sample: each for each in decoder.run(forced)}, []
    for layer in model.model.layers:
        inner = layer.forward
        monkeypatch.setattr(
            layer, "forward", lambda *args, inner=inner, **named: calls.append(1) or inner(*args, **named)
        )
    again = {each.sample: each for each in decoder.run(forced)}
    assert decoder.steps > 2 * 160  # of each time
    assert not calls
    model(input_ids=torch.tensor([[5]], device="cuda"))
    assert len(calls) == len(model.model.layers)  # they would have been counted
    for sample, each in first.items():
        assert again[sample].token_ids == each.token_ids == list(forced[int(sample)].completion)
        assert again[sample].seen == each.seen


@gpu
def test_a_captured_prompt_depends_on_no_other(requests):
    """Four draws of each prompt, in one order and the other, and without the first seven."""
    draws = [Request(request.sample, draw, request.prompt) for request in requests[:5] for draw in range(4)]
    done = []
    for order in draws, draws[::-1], draws[7:]:
        decoder = GraphDecoder(
            model=model_on_gpu()[0],
            policy=POLICIES["vase_attnv"],
            sampler=SAMPLING,
            max_tokens=120,
            longest_prompt=100,
            batch_size=8,
            capture_prompts=True,
        )
        done.append({(each.sample, each.draw): each.token_ids for each in decoder.run(order)})
    assert done[0] == done[1]
    assert {key: done[0][key] for key in done[2]} == done[2]


@gpu
def test_a_dense_layer_that_grows_is_captured_anew(requests, monkeypatch):
    from kvarena.runners.cache import cache

    monkeypatch.setattr(cache, "GROWTH", 16)
    done = []
    for engine in Decoder, GraphDecoder:
        model, _ = model_on_gpu()
        decoder = engine(model=model, policy=Full(), sampler=Greedy(), max_tokens=240, longest_prompt=100, batch_size=4)
        done.append({generation.sample: generation.token_ids for generation in decoder.run(requests[:4])})
    assert done[0] == done[1]


@gpu
def test_logprobs_and_stop_strings_are_those_of_the_eager_engine(requests):
    """A dense cache: near-equal slots tip nothing. What is taken down is captured with the step."""
    done = []
    for engine in Decoder, GraphDecoder:
        model, tokenizer = model_on_gpu()
        decoder = engine(
            model=model,
            policy=Full(),
            sampler=Greedy(),
            max_tokens=120,
            longest_prompt=100,
            batch_size=5,
            logprobs=3,
            watch=partial(Speech, tokenizer=tokenizer, stop=["back"], on_token=None),
        )
        done.append({each.sample: each for each in decoder.run(requests[:8])})
    eager, graphs = done
    assert {each.stop for each in eager.values()} == {"string", "length"}
    for sample, each in eager.items():
        other = graphs[sample]
        assert (other.token_ids, other.text, other.stop) == (each.token_ids, each.text, each.stop)
        for mine, its in zip(each.logprobs, other.logprobs, strict=True):
            assert list(its.top.values()) == pytest.approx(list(mine.top.values()), abs=1e-3)
            assert its.chosen == max(its.top.values())
