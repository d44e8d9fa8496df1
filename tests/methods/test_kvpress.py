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
    with pytest.raises(ValueError, match=r"method\.press=Looking looks at hidden states"):
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
