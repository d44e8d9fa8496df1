"""What a cache of codes costs, what it refuses, and what it shows a method."""

import pytest
import torch
from kvarena.kernels.pack import Affine, Fp8, Kivi, Plain, Turbo
from kvarena.methods.budget import Budget
from kvarena.methods.evict_large import EvictLarge
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.quest import Quest
from kvarena.methods.snapkv import SnapKV
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.cache import PLAIN, KVCache, Shape, Storage, bytes_share, tokens_within

SHAPE = Shape(layers=2, heads=3, groups=2, dim=128)
BUDGET = Budget(tokens=100, recent=8, sinks=0, interval=8)
FP8 = Storage(keys=Fp8(), values=Fp8())


def cache_of(policy, storage, dtype=torch.bfloat16):
    return KVCache(
        policy=policy,
        shape=SHAPE,
        batch_size=2,
        longest_prompt=64,
        longest=200,
        dtype=dtype,
        device=torch.device("cpu"),
        storage=storage,
    )


@pytest.mark.parametrize(
    ("storage", "name", "slot"),
    [
        (PLAIN, "plain", 512),
        (FP8, "fp8", 260),
        (Storage(keys=Affine(bits=8, group=64), values=Affine(bits=8, group=64)), "int8g64", 272),
        (Storage(keys=Affine(bits=8, group=64), values=Affine(bits=4, group=32)), "int8g64-int4g32", 216),
        (Storage(keys=Affine(bits=4, group=32), values=Affine(bits=4, group=32)), "int4g32", 160),
        (Storage(keys=Turbo(bits=4), values=Affine(bits=4, group=None)), "turbo4-int4", 134),
        (Storage(keys=Turbo(bits=3), values=Affine(bits=3, group=None)), "turbo3-int3", 102),
        (Storage(keys=Fp8(), values=Plain(), residual=4), "fp8-plain+r4", 386),
    ],
)
def test_bytes_of_a_slot(storage, name, slot):
    """Of a key and a value of 128, and four of its position; the tensors take no more than that says."""
    cache = cache_of(StreamingLLM(budget=BUDGET), storage)
    layer = cache.layers[0]
    assert storage.name == name
    assert (layer.pair_bytes, layer.slot_bytes) == (3 * slot, 3 * (slot + 4))
    assert layer.row_bytes == 3 * storage.residual * 256
    lengths = 2 * 3 * 4
    assert cache.nbytes == 2 * 2 * (layer.room.slots * layer.slot_bytes + layer.row_bytes)
    assert layer.lengths.nbytes == lengths


def test_constants_are_those_of_what_came(rng):
    """The range of a value is noted before it is packed into two bits, and moves with its slot."""
    coarse = Affine(bits=2, group=None)
    cache = cache_of(EvictLarge(budget=BUDGET), Storage(keys=coarse, values=coarse), torch.float32)
    keys, values = torch.randn(2, 3, 20, 128, generator=rng)
    cache.admit(0, 20, (0, 0))
    for layer in cache.layers:
        new = dict(keys=keys[None], values=values[None], positions=torch.arange(20)[None, None])
        layer.fill(slice(1), 20, **new, queries=keys[None, :, None, :0], noted=cache.notes(keys[None], values[None]))
    view = cache.view(0, cache.facts([0]))
    ranges = values.amax(-1) - values.amin(-1)
    assert torch.equal(view.constants[0, :, :20, 0], ranges)
    shown = view.values[0, :, :20]
    assert not torch.equal(shown.amax(-1) - shown.amin(-1), ranges)
    torch.testing.assert_close(shown, values, atol=1.2, rtol=0)
    assert view.values is view.values  # decoded once


def test_a_row_that_is_filled_has_its_newest_in_the_ring(rng):
    storage = Storage(keys=Affine(bits=2, group=None), values=Fp8(), residual=4)
    layer = cache_of(Full(), storage, torch.float32).layers[0]
    keys, values = torch.randn(2, 3, 6, 128, generator=rng)
    new = dict(keys=keys[None], values=values[None], positions=torch.arange(6)[None, None])
    layer.fill(slice(1, 2), 6, **new, queries=keys[None, :, None, :0])
    found = [column.float()[0, :, :6] for column in layer.stored(torch.tensor([1]), torch.tensor([6]))]
    for came, there in zip((keys, values), found, strict=True):
        assert torch.equal(there[:, 2:], came[:, 2:])
        assert not torch.equal(there[:, :2], came[:, :2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Storage(residual=4), "cache.residual=4: a plain cache packs nothing, use 0"),
        (lambda: Storage(keys=Fp8(), residual=-1), "cache.residual=-1: use 0 or more"),
        (
            lambda: Storage(keys=Fp8(), residual=9).check(SHAPE, StreamingLLM(budget=BUDGET)),
            "cache.residual=9 is above the 8 recent slots",
        ),
        (
            lambda: Storage(keys=Kivi(bits=2, tokens=32), residual=8).check(SHAPE, StreamingLLM(budget=BUDGET)),
            "cache=kivi2 encodes 32 neighbouring tokens together, and StreamingLLM evicts single ones",
        ),
        (
            lambda: Storage(keys=Kivi(bits=2, tokens=32), residual=8).check(SHAPE, Full()),
            "cache.residual=8: kivi2 encodes groups of 32 tokens from the plain ones, use 32 or more",
        ),
        (
            lambda: Storage(keys=Turbo(bits=4)).check(SHAPE._replace(dim=96), Full()),
            "head size 96: format turbo4 turns powers of two",
        ),
    ],
)
def test_what_no_cache_is(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("policy", "storage", "share", "tokens"),
    [
        # dense takes 516 bytes a token and head: two vectors and a position
        (StreamingLLM(budget=BUDGET), PLAIN, 0.25, 250),
        (StreamingLLM(budget=BUDGET), FP8, 0.25, 129000 // 264),
        (H2O(budget=BUDGET), FP8, 0.25, 129000 // 268),  # and the mass
        # 8 queries of two heads a KV head
        (SnapKV(budget=BUDGET), FP8, 0.25, (129000 - 16 * 256) // 264),
        # a ring of four keys and four values
        (StreamingLLM(budget=BUDGET), Storage(keys=Fp8(), values=Fp8(), residual=4), 0.25, (129000 - 2048) // 264),
        # what is read: a page of 16 has bounds of 512 bytes, and 1,000 tokens have 64 pages in their slots
        (Quest(budget=BUDGET, page=16, dense_layers=0), PLAIN, 0.25, (128000 - 64 * 512) // 512),
        (Quest(budget=BUDGET, page=16, dense_layers=0), FP8, 0.25, (128000 - 64 * 512) // 260),
        # of two layers the first reads all
        (Quest(budget=BUDGET, page=16, dense_layers=1), PLAIN, 0.75, (768000 - 2 * 64 * 512 - 512000) // 512),
        (Quest(budget=BUDGET, page=16, dense_layers=1), FP8, 0.5, (512000 - 2 * 64 * 512 - 260000) // 260),
    ],
)
def test_tokens_within_bytes(policy, storage, share, tokens):
    """Of 1,000 tokens."""
    assert tokens_within(share, 1000, policy, SHAPE, storage) == tokens
    budget = Budget(tokens=tokens, recent=8, sinks=0, interval=8)
    own = type(policy)(**vars(policy) | {"budget": budget})
    assert share - 600 / 128000 < bytes_share(1000, own, SHAPE, storage) <= share


def test_bytes_of_a_cache_that_does_not_serve():
    """Whatever they are."""
    kivi = Storage(keys=Kivi(bits=2, tokens=32), residual=128)
    with pytest.raises(ValueError, match="cache=kivi2 encodes 32 neighbouring tokens together"):
        tokens_within(0.01, 1000, StreamingLLM(budget=BUDGET), SHAPE, kivi)


def test_bytes_below_what_dense_layers_read():
    with pytest.raises(
        ValueError, match=r"compression.bytes=0.25 is 768,000 bytes a row, below what cache=plain takes"
    ):
        tokens_within(0.25, 1000, Quest(budget=BUDGET, page=16, dense_layers=1), SHAPE, PLAIN)
    with pytest.raises(ValueError, match=r"compression.bytes=0.9 is .* raise it"):
        tokens_within(0.9, 1000, Quest(budget=BUDGET, page=16, dense_layers=2), SHAPE, PLAIN)


def test_dense_bytes_are_one_and_packed_ones_less():
    assert bytes_share(1000, Full(), SHAPE, PLAIN) == 1.0
    assert bytes_share(1000, Full(), SHAPE, FP8) == pytest.approx(264 / 516)


def test_bytes_below_the_residual():
    storage = Storage(keys=Fp8(), values=Fp8(), residual=8)
    with pytest.raises(ValueError, match=r"compression.bytes=0.01 is .* raise it, or lower cache.residual"):
        tokens_within(0.01, 1000, StreamingLLM(budget=BUDGET), SHAPE, storage)
