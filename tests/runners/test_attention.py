"""Which attention serves which method; flash-attn itself is tested in tests/kernels, where it is installed."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest
import torch
from kvarena.methods.adakv import AdaKV
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.oracle import Oracle
from kvarena.methods.pyramid import Pyramid
from kvarena.methods.quest import Quest
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.runners.attention import FlashAttention, Own
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.sampler import Greedy

BUDGET = Budget(tokens=32, recent=4, interval=4)
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.fixture
def installed(monkeypatch):
    package = ModuleType("flash_attn")
    package.__spec__ = ModuleSpec("flash_attn", None)
    monkeypatch.setitem(sys.modules, "flash_attn", package)


@pytest.mark.parametrize("policy", [Full(), SnapKV(budget=BUDGET), VaSEAttnV(budget=BUDGET)], ids=str)
def test_methods_that_flash_attn_serves(installed, policy):
    FlashAttention().check(policy, torch.bfloat16, CUDA)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (H2O(budget=BUDGET), "gives no probabilities, and H2O needs them: use attention=own"),
        (Pyramid(budget=BUDGET, of=H2O(budget=BUDGET)), "gives no probabilities, and Pyramid needs them"),
        (Quest(budget=BUDGET), "reads all slots, and Quest chooses among them: use attention=own"),
        (Oracle(budget=BUDGET), "reads all slots, and Oracle chooses among them"),
        (AdaKV(budget=BUDGET, of=SnapKV(budget=BUDGET)), "has one length a row, and AdaKV one a head"),
    ],
    ids=["h2o", "pyramid_of_h2o", "quest", "oracle", "adakv"],
)
def test_methods_that_flash_attn_does_not_serve(installed, policy, message):
    with pytest.raises(ValueError, match=f"^attention=flash_attn {message}"):
        FlashAttention().check(policy, torch.bfloat16, CUDA)
    Own().check(policy, torch.float32, CPU)


@pytest.mark.parametrize(
    ("dtype", "device", "message"),
    [
        (torch.float32, CUDA, r"takes no torch\.float32: use model\.dtype=bfloat16"),
        (torch.float16, CPU, "needs a CUDA device, not cpu"),
    ],
    ids=["dtype", "device"],
)
def test_where_flash_attn_does_not_run(installed, dtype, device, message):
    with pytest.raises(ValueError, match=message):
        FlashAttention().check(Full(), dtype, device)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(ValueError, match=r"attention=flash_attn needs its package: pip install 'kvarena\[flash-attn\]"):
        FlashAttention().check(Full(), torch.bfloat16, CUDA)


def decoder(model, attention) -> Decoder:
    return Decoder(
        model=model,
        policy=Full(),
        sampler=Greedy(),
        attention=attention,
        max_tokens=8,
        longest_prompt=3,
        batch_size=2,
    )


def test_the_decoder_attends_by_what_it_was_given(model):
    """A step of every layer goes through it."""
    called = []

    class Watched(Own):
        def __call__(self, query, *rest, **options):
            called.append(query.shape)
            return super().__call__(query, *rest, **options)

    prompt, run = Request("a", 0, [1, 2, 3]), decoder(model, Watched())
    called.clear()  # of the probe
    (watched,) = run.run([prompt])
    (own,) = decoder(model, Own()).run([prompt])
    assert called == [(2, 2, 2, 16)] * 3 * 7
    assert watched.token_ids == own.token_ids


def test_the_decoder_refuses_what_its_attention_cannot_serve(model):
    with pytest.raises(ValueError, match="attention=flash_attn"):
        decoder(model, FlashAttention())
