"""Rounds of several rows at once, of columns that are codes beside a ring, by the Triton kernels as by their twins."""

from copy import deepcopy

import pytest
import torch
from kvarena.contract.policies import policy_of, storage_of
from kvarena.kernels import evict, pack, pages, score
from kvarena.kernels.evict import kernel as evict_kernel
from kvarena.kernels.pack import Packed
from kvarena.kernels.pack import kernel as pack_kernel
from kvarena.kernels.pages import kernel as pages_kernel
from kvarena.kernels.score import kernel as score_kernel
from kvarena.runners.cache import KVCache, RoundFacts, Shape

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SHAPE = Shape(layers=2, heads=2, groups=2, dim=16)
INT8 = "cache=int8 cache.keys.group=8 cache.values.group=8 cache.residual=4"
METHODS = [  # what each of them reads of a packed column in a round
    f"adakv {INT8}",  # keys, where it has a rule of its own
    "snapkv cache=turbo4 cache.residual=8",  # keys, where scores alone decide
    f"rkv_vase {INT8}",  # cosines of keys
    "curdkv_vase cache=low_rank cache.keys.rank=12 cache.values.rank=10 cache.residual=4",  # keys and values
    f"keydiff {INT8}",  # decoded
    f"rocketkv {INT8} method.length=40",  # bounds of pages, when slots have moved
]


@pytest.fixture
def by_kernels(monkeypatch):
    """What follows goes through Triton, on a CPU in its interpreter."""
    for operation, kernel in ((score, score_kernel), (evict, evict_kernel), (pages, pages_kernel)):
        monkeypatch.setattr(operation, "reference", kernel)
    monkeypatch.setattr(pack, "decode", lambda packed: packed.form.unturn(pack_kernel.decode(packed)))


def filled(method: str) -> KVCache:
    """Three rows with 37, 45 and 40 tokens, of 24 that a round leaves."""
    rng = torch.Generator().manual_seed(0)
    cache = KVCache(
        policy=policy_of(method),
        shape=SHAPE,
        batch_size=3,
        longest_prompt=45,
        longest=64,
        dtype=torch.float32,
        device=DEVICE,
        storage=storage_of(method),
    )
    for row, prompt in enumerate((37, 45, 40)):
        cache.admit(row, prompt, (0, row))
        for layer in cache.layers:
            keys, values = torch.randn(2, 1, SHAPE.heads, prompt, SHAPE.dim, generator=rng).to(DEVICE)
            window = layer.queries.shape[3] if layer.queries.numel() else 0
            queries = torch.randn(1, SHAPE.heads, SHAPE.groups, window, SHAPE.dim, generator=rng).to(DEVICE)
            new = dict(keys=keys, values=values, queries=queries, noted=cache.notes(keys, values))
            at = torch.arange(prompt, device=DEVICE)[None, None]
            layer.fill(slice(row, row + 1), prompt, positions=at, **new)
    return cache


@pytest.mark.parametrize(("method", "rows"), [(METHODS[0], [0, 1, 2]), *((method, [0, 2]) for method in METHODS)])
def test_a_round_keeps_what_its_twin_keeps(request, method, rows):
    twin = filled(method)
    ours, before = deepcopy(twin), twin.layers[0].lengths.clone()
    twin.drop(rows)
    request.getfixturevalue("by_kernels")
    ours.drop(rows)
    for layer, other in zip(ours.layers, twin.layers, strict=True):
        assert torch.equal(layer.lengths, other.lengths)
        assert torch.equal(layer.positions, other.positions)
        for bound, expected in zip((layer.page_min, layer.page_max), (other.page_min, other.page_max), strict=True):
            torch.testing.assert_close(bound, expected, rtol=1e-5, atol=1e-5)
    assert (twin.layers[0].lengths[rows] < before[rows]).any(-1).all()


def test_what_a_round_is_told_lies_as_kernels_read_it():
    """Rows beside one another, each fact of them: otherwise a captured round copies it in every layer."""
    cache = filled(METHODS[0])
    facts = cache.facts()
    assert facts.position.tolist() == [37, 45, 40]
    each = (facts.round, facts.recent, facts.position, *facts.protected, *facts.excess)
    assert all(one.is_contiguous() for one in each)
    for column in (cache.view(0, facts).stored_keys, cache.view(0, cache.facts([0, 2])).stored_values):
        assert isinstance(column, Packed)
        assert column.is_contiguous()
        assert column.contiguous() is column


def test_facts_of_a_round_that_changes_are_read_anew():
    """A captured round unpacks what the host has written in place."""
    cache = filled(METHODS[0])
    packed = cache.pack([0, 1, 2])
    packed[1, 2] = 46
    assert RoundFacts.unpack(packed, slice(None), cache.noise).position.tolist() == [37, 46, 40]
