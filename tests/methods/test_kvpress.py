"""A press in our rounds: what it is shown, what becomes of its scores, and what is refused."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from kvarena.contract.decoding import ALL, decode, tokens_of
from kvarena.contract.hand_made_press import Spread
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.kvpress import KVPress
from kvarena.methods.pyramid import Pyramid
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.model import attention_modules, shape_of
from torch import nn

LAYER = nn.Linear(1, 1)
ROUND = Budget(tokens=24, recent=8, sinks=4, interval=8)


@dataclass
class Noting:
    """Scores a slot by the first number of its key, and notes what it was shown."""

    compression_ratio: float = 0.0
    seen: list = field(default_factory=list)

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        self.seen.append((keys, values, attentions, self.compression_ratio, module))
        return keys[..., 0]


def in_a_layer(view):
    """The view with an attention module."""
    return replace(view, module=LAYER)


def test_score_golden(view_of, kept, budget):
    """Slots in mixed order, one of them dead: shown by position, scored where they are."""
    press = Noting(compression_ratio=0.3)
    policy = KVPress(budget=budget(2), press=press)
    view = in_a_layer(view_of(policy, [[5, 0], [7, 0], [1, 0], [9, 0]], [[0, 4], [0, 3], [0, 2], [0, 1]]))
    positions = torch.tensor([[[3, 0, -1, 1]]], dtype=torch.int32)
    candidates = torch.tensor([[[False, True, False, True]]])
    view = replace(view, positions=positions, live=positions >= 0, candidates=candidates, evictable=candidates)
    view = replace(view, excess=torch.tensor([1], dtype=torch.int32))
    assert policy.score(view).tolist() == [[[5, 7, -torch.inf, 9]]]
    ((keys, values, attentions, ratio, module),) = press.seen
    assert keys.tolist() == [[[[7, 0], [9, 0], [5, 0]]]]
    assert values.tolist() == [[[[0, 3], [0, 1], [0, 4]]]]
    assert attentions is None
    assert int(3 * (1 - ratio)) == 2  # as many as kvpress would keep
    assert press.compression_ratio == 0.3
    assert type(module) is nn.Linear
    assert module is not view.module
    assert kept(policy, view) == [[[1, 3]]]


@pytest.mark.parametrize("count", [2, 7, 24, 997])
def test_the_ratio_is_that_at_which_kvpress_keeps_as_many(budget, count):
    press = Noting()
    policy = KVPress(budget=budget(2), press=press)
    for kept in range(1, count + 1):
        with policy._at_ratio(count, kept):
            assert int(count * (1 - press.compression_ratio)) == kept


def test_a_press_without_a_ratio(view_of, budget):
    class Bare:
        def score(self, module, hidden_states, keys, values, attentions, kwargs):
            return -keys[..., 0]

    policy = KVPress(budget=budget(2), press=Bare())
    assert policy.score(in_a_layer(view_of(policy, [[1, 0], [2, 0], [3, 0]]))).tolist() == [[[-1, -2, -3]]]


def test_what_is_not_a_number_is_kept(view_of, kept, budget):
    """As torch.topk, by which kvpress chooses, has it."""
    policy = KVPress(budget=budget(2), press=Noting())
    view = in_a_layer(view_of(policy, [[float("nan"), 0], [2, 0], [3, 0]]))
    assert policy.score(view).tolist() == [[[torch.inf, 2, 3]]]
    assert kept(policy, view) == [[[0, 2]]]


class Drawing:
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return torch.rand(keys.shape[:3])


def test_what_a_press_draws_is_the_rows_own(view_of, budget):
    policy = KVPress(budget=budget(2), press=Drawing(), draws=True)
    keys = torch.zeros(2, 2, 5, 4)
    before = torch.get_rng_state()
    view = in_a_layer(view_of(policy, keys))
    score = policy.score(view)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(policy.score(view), score)
    assert not torch.equal(score[0], score[1])
    others = [view_of(policy, keys, seed=1), view_of(policy, keys, layer=1), view_of(policy, keys, round=1)]
    for other in others:
        assert not torch.equal(policy.score(in_a_layer(other)), score)
    assert policy.stochastic


def test_a_press_that_draws_has_to_say_so(view_of, budget):
    policy = KVPress(budget=budget(2), press=Drawing())
    assert not policy.stochastic
    with pytest.raises(ValueError, match=r"method\.press=Drawing draws: say so, method\.draws=true"):
        policy.score(in_a_layer(view_of(policy, torch.zeros(1, 1, 5, 4))))


class ObservedAttentionPress(Spread):
    """Of the name that kvpress has for it."""


@pytest.mark.parametrize(
    ("press", "message"),
    [
        (None, "method.press=NoneType has no score"),
        (nn.Linear(1, 1), "method.press=Linear has no score"),
        (ObservedAttentionPress(), "ObservedAttentionPress needs all attention weights"),
    ],
)
def test_what_is_no_scorer_is_refused(budget, press, message):
    with pytest.raises(ValueError, match=message):
        KVPress(budget=budget(2), press=press)


class Looking(Spread):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return hidden_states[:, -1:] if self.compression_ratio else hidden_states.shape


class Short(Spread):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return keys[:, :, 1:, 0]


class Asserting(Spread):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        raise AssertionError("only prefill")


@pytest.mark.parametrize("num", [2, 3])
def test_hidden_states_are_not_there(view_of, budget, num):
    policy = KVPress(budget=budget(2), press=Looking())
    with pytest.raises(
        ValueError, match=r"method\.press=Looking looks at hidden states: say how many, method\.hidden=256"
    ):
        policy.score(in_a_layer(view_of(policy, torch.zeros(1, 1, num, 4))))


@pytest.mark.parametrize(
    ("press", "message"),
    [
        (Short(), r"method.press=Short scored \[1, 1, 4\], not \[1, 1, 5\]"),
        (Asserting(), "method.press=Asserting cannot score while a sequence grows: only prefill"),
    ],
)
def test_what_a_press_cannot_do_names_it(view_of, budget, press, message):
    policy = KVPress(budget=budget(2), press=press)
    with pytest.raises(ValueError, match=message):
        policy.score(in_a_layer(view_of(policy, torch.zeros(1, 1, 5, 4))))


def test_heads_that_compete_are_refused():
    with pytest.raises(ValueError, match=r"method\.of=KVPress has heads that hold alike"):
        AdaKV(budget=ROUND, of=KVPress(budget=ROUND, press=Spread()))


def test_engines_that_capture_rounds_are_refused():
    one = KVPress(budget=ROUND, press=Spread())
    for policy in (one, Pyramid(budget=ROUND, of=one)):
        with pytest.raises(ValueError, match=r"captures rounds, which \w+ does not bear: use engine=eager"):
            GraphDecoder.serves(policy)


class Meeting(Spread):
    """Notes the model, and the module of each layer as it is asked."""

    def post_init_from_model(self, model: Any) -> None:
        self.model, self.layers = model, []

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        self.layers.append(module)
        return super().score(module, hidden_states, keys, values, attentions, kwargs)


def test_a_press_meets_the_model_and_its_layers(model):
    press = Meeting()
    policy = KVPress(budget=ROUND, press=press)
    done = decode(model, Pyramid(budget=ROUND, of=policy, beta=1), ALL)
    assert press.model is model
    own = [layer.self_attn for layer in model.model.layers]
    assert {module.layer_idx for module in press.layers} == {0, 1, 2}
    for module in press.layers:
        attention = own[module.layer_idx]
        assert type(module) is type(attention)
        assert module is not attention
        assert module.q_proj is attention.q_proj
        assert module.rotary_emb is model.model.rotary_emb
    assert not any(hasattr(attention, "rotary_emb") for attention in own)
    assert tokens_of(done) == tokens_of(decode(model, policy, ALL))


def test_a_model_that_keeps_its_layers_elsewhere(model):
    family = type("Other", (), {"config": model.config, "model": None})()
    with pytest.raises(ValueError, match=r"no model.rotary_emb and model.layers\[0...2\].self_attn in a model qwen3"):
        attention_modules(family, shape_of(model.config))


class Watching(Spread):
    """Notes the states and the placing that it is shown, by layer."""

    def post_init_from_model(self, model: Any) -> None:
        self.shown = []

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        cos, sin = kwargs["position_embeddings"]
        assert kwargs["hidden_states"] is hidden_states
        ahead = module.rotary_emb(hidden_states, torch.tensor([[hidden_states.shape[1]]]))
        self.shown.append((module.layer_idx, hidden_states[0], kwargs["cache_position"].tolist(), cos, sin, ahead))
        return super().score(module, hidden_states, keys, values, attentions, kwargs)


@pytest.mark.parametrize("hidden", [5, 80])
def test_a_press_is_shown_the_newest_hidden_states(model, hidden):
    """Those that attention sees where transformers reads prompt and completion at once; rotations at true positions.

    With dense tokens, for nothing is dropped that a recent query would have attended to: the first round is looked at.
    """
    press = Watching()
    done = {one.sample: one for one in decode(model, KVPress(budget=ROUND, press=press, hidden=hidden), ALL[:1])}
    prompt, tokens = ALL[0].prompt, done["long"].token_ids
    states = []
    hooks = [
        layer.self_attn.register_forward_pre_hook(
            lambda module, args, kwargs: states.append(kwargs["hidden_states"][0]), with_kwargs=True
        )
        for layer in model.model.layers
    ]
    end = 32  # the first round: a budget of 24, every eight
    with torch.no_grad():
        model(torch.tensor([[*prompt, *tokens]])[:, :end])
        for hook in hooks:
            hook.remove()
        first = max(0, end - hidden)
        at = list(range(first, end))
        cos, sin = model.model.rotary_emb(states[0], torch.tensor([at]))
        ahead = model.model.rotary_emb(states[0], torch.tensor([[end]]))
    for index, (layer, shown, places, *turns, later) in enumerate(press.shown[:3]):
        assert (layer, places) == (index, at)
        torch.testing.assert_close(shown, states[index][first:])
        for found, expected in zip((*turns, *later), (cos, sin, *ahead), strict=True):
            torch.testing.assert_close(found, expected)
    assert not any(layer.self_attn._forward_pre_hooks for layer in model.model.layers)


class Following(Spread):
    """Scores by the key's cosine with the mean hidden state, projected as a key."""

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        towards = module.k_proj(hidden_states.mean(1)).view(1, keys.shape[1], 1, -1)
        return (keys * towards).sum(-1)


def test_hidden_states_are_a_rows_own(model):
    """In any row, beside others, in a row that was used before, with rows moved."""
    policy = KVPress(budget=ROUND, press=Following(), hidden=6)
    expected = tokens_of(decode(model, policy, ALL))
    assert expected != tokens_of(decode(model, KVPress(budget=ROUND, press=Following(), hidden=1), ALL))
    for crowd, size in ((ALL[::-1], 2), (ALL, 1)):
        assert tokens_of(decode(model, policy, crowd, batch_size=size)) == expected


def test_hidden_states_are_charged(model):
    """Of 64 channels in three layers, in float32."""
    one, other = (decode(model, KVPress(budget=ROUND, press=Spread(), hidden=hidden), ALL[:1]) for hidden in (0, 10))
    assert other[0].usage.resident_bytes - one[0].usage.resident_bytes == 3 * 10 * 64 * 4
    assert other[0].token_ids == one[0].token_ids


def test_hidden_states_below_none(budget):
    with pytest.raises(ValueError, match=r"method\.hidden=-1: use 0 or more hidden states"):
        KVPress(budget=budget(2), press=Spread(), hidden=-1)
