"""Our methods as scorers of kvpress: what they are shown there, what is left, and what is refused."""

from dataclasses import dataclass
from types import SimpleNamespace

import kvarena
import pytest
import torch
from kvarena.contract.decoding import ALL, decode, request, tokens_of
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.methods.as_press import as_press
from kvarena.methods.budget import Budget
from kvarena.methods.expected_attention import ExpectedAttention
from kvarena.methods.h2o import H2O
from kvarena.methods.keydiff import KeyDiff
from kvarena.methods.knorm import KNorm
from kvarena.methods.kvpress import KVPress
from kvarena.methods.lagkv import LagKV
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.random import Random
from kvarena.methods.rkv import RKV
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV
from kvarena.runners.generate.watched import Placed
from kvarena.runners.model import forward, own_attention

ROUND = Budget(tokens=24, recent=8, sinks=4, interval=8)
LAYER = SimpleNamespace(layer_idx=0, config=SimpleNamespace(num_hidden_layers=3))


@dataclass
class Base:
    """As kvpress.ScorerPress is."""

    compression_ratio: float = 0.0

    def compress(self, module, hidden_states, keys, values, attentions, kwargs):
        raise NotImplementedError


def test_survivors_golden():
    """Of six slots the sink and the two recent ones stay, and of the others the shorter; in the order of the slots."""
    press = as_press(KNorm(budget=Budget(tokens=4, recent=2, sinks=1)), Base)
    assert isinstance(press, Base)
    keys = torch.tensor([9.0, 3, 1, 2, 8, 7])[None, None, :, None].expand(1, 1, 6, 2).clone()
    values = torch.arange(6.0)[None, None, :, None].expand(1, 1, 6, 2)
    asked = (LAYER, None, keys, values, None, {})
    assert press.compress(*asked) == (keys, values)
    press.compression_ratio = 0.3  # int(4.2)
    left, right = press.compress(*asked)
    assert left[0, 0, :, 0].tolist() == [9, 1, 8, 7]
    assert right[0, 0, :, 0].tolist() == [0, 2, 4, 5]
    highest = torch.finfo(torch.float32).max
    root = 2**0.5
    expected = [highest, -3 * root, -root, -2 * root, highest, highest]
    torch.testing.assert_close(press.score(*asked), torch.tensor([[expected]]))


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("length", [20, 5])
def test_queries_are_those_that_the_model_asks_with(family, length):
    """Of the newest eight; zeros where there were fewer."""
    model = build_tiny_model(family)
    attention = model.model.layers[1].self_attn
    states, seen = [], Placed()
    hook = attention.register_forward_pre_hook(
        lambda module, args, kwargs: states.append(kwargs["hidden_states"]), with_kwargs=True
    )
    tokens = torch.tensor([request("long", length).prompt])
    with torch.no_grad(), own_attention(model):
        forward(model, tokens, torch.arange(length)[None], seen)
        hook.remove()
        asked, keys = seen.tensors[2:4]
        attention.rotary_emb = model.model.rotary_emb
        policy = SnapKV(budget=ROUND)
        press = as_press(policy, Base)
        view = press.view(attention, states[0][:, -8:], keys, keys, {"cache_position": torch.arange(length)})
    expected = asked[:, :, -8:].unflatten(1, (2, 2))
    torch.testing.assert_close(view.queries[:, :, :, -expected.shape[3] :], expected)
    assert not view.queries[:, :, :, : 8 - expected.shape[3]].any()


@pytest.mark.parametrize("kind", [KNorm, KeyDiff, LagKV, VaSEDKV, Random])
def test_there_and_back_again(model, kind):
    """A method as a press, in our loop: the same tokens, but for what is drawn, which goes by other numbers."""
    policy = kind(budget=ROUND)
    done = tokens_of(decode(model, KVPress(budget=ROUND, press=as_press(policy, Base)), ALL))
    assert (done == tokens_of(decode(model, policy, ALL))) != policy.stochastic


def test_rounds_draw_anew():
    press = as_press(Random(budget=ROUND), Base, seed=3)
    keys = torch.zeros(1, 2, 40, 4)
    first, same, later = (
        press.score(LAYER, None, keys, keys, None, {"cache_position": torch.tensor([at])}) for at in (39, 39, 47)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, later)
    other = as_press(Random(budget=ROUND), Base, seed=4)
    assert not torch.equal(first, other.score(LAYER, None, keys, keys, None, {"cache_position": torch.tensor([39])}))


def test_a_window_that_is_not_there():
    keys = torch.zeros(1, 2, 40, 16)
    asked = LAYER, torch.zeros(1, 5, 64), keys, keys, None, {"cache_position": torch.tensor([60])}
    with pytest.raises(ValueError, match="8 queries are needed, and there are 5 hidden states"):
        as_press(SnapKV(budget=ROUND), Base).score(*asked)
    asked = LAYER, torch.zeros(1, 8, 64), *asked[2:]
    with pytest.raises(ValueError, match="SimpleNamespace has no q_proj"):
        as_press(SnapKV(budget=ROUND), Base).score(*asked)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (H2O(budget=ROUND, n_recent=12), "H2O needs mass, which kvpress does not keep"),
        (RKV(budget=ROUND), "RKV needs rank, which kvpress does not keep"),
        (Pyramid(budget=ROUND, of=KNorm(budget=ROUND)), "Pyramid has budgets of its own"),
        (KNorm(budget=Budget(tokens=[24, 30, 24], recent=8)), "KNorm has budgets of its own"),
        (KNorm(budget=Budget(tokens=24, recent=8, protect_prompt=True)), "of no prompt that stays"),
        ("knorm", "policy=knorm: use a kvarena.methods.policy.Eviction"),
    ],
)
def test_what_kvpress_cannot_supply_is_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        as_press(policy, Base)


@pytest.mark.parametrize("kind", [SnapKV, VaSEAttnV, ExpectedAttention, VaSEDKV])
def test_what_it_can_is_taken(kind):
    assert type(as_press(kind(budget=ROUND), Base)).__name__ == f"{kind.__name__}Press"
    assert kvarena.as_press is as_press
