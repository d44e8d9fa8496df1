"""flash-attn behind the contract: itself where it is installed, elsewhere a double that computes what it documents."""

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from kvarena.kernels import attend
from kvarena.kernels.attend import BLOCK, reference

SCALE, FLASH = 0.3, "kvarena.kernels.attend.flash"
REAL = torch.cuda.is_available() and importlib.util.find_spec("flash_attn") is not None
gpu = pytest.mark.skipif(not REAL, reason="flash-attn is not installed, or there is no GPU")


def documented(q, k_cache, v_cache, *, cache_seqlens, softmax_scale, num_splits, return_softmax_lse):
    """q [B, 1, Hq, D], caches [B, N, H, D] -> [B, 1, Hq, D], [B, Hq, 1]; query head i reads KV head i // (Hq / H)."""
    assert return_softmax_lse
    assert k_cache.stride(-1) == v_cache.stride(-1) == 1
    assert (cache_seqlens.dtype, cache_seqlens.is_contiguous()) == (torch.int32, True)
    groups = q.shape[2] // k_cache.shape[2]
    output, lse = torch.empty_like(q), q.new_empty(q.shape[0], q.shape[2], 1, dtype=torch.float32)
    for row, length in enumerate(cache_seqlens.tolist()):
        for head in range(q.shape[2]):
            logits = softmax_scale * k_cache[row, :length, head // groups].float() @ q[row, 0, head].float()
            output[row, 0, head] = logits.softmax(0) @ v_cache[row, :length, head // groups].float()
            lse[row, head] = logits.logsumexp(0)
    return output, lse


@pytest.fixture
def flash(monkeypatch):
    if not REAL:
        package = ModuleType("flash_attn")
        package.flash_attn_with_kvcache = documented
        monkeypatch.setitem(sys.modules, "flash_attn", package)
    yield importlib.import_module(FLASH)
    if not REAL:  # what has the double in it must not stay
        del sys.modules[FLASH], attend.flash


@pytest.fixture
def make(rng, device):
    """Rows of these lengths, the same in each of two heads; what lies beyond a length is garbage."""

    def build(lengths, groups, dim, half=torch.bfloat16):
        slots = -(-max(lengths) // BLOCK) * BLOCK + BLOCK
        query = torch.randn(len(lengths), 2, groups, dim, generator=rng)
        keys, values = torch.randn(2, len(lengths), 2, slots, dim, generator=rng)
        lengths = torch.tensor(lengths, dtype=torch.int32)[:, None].expand(-1, 2).contiguous()
        dead = torch.arange(slots) >= lengths[..., None]
        keys[dead], values[dead] = 99.0, 99.0
        return *(x.to(device, half) for x in (query, keys, values)), lengths.to(device)

    return build


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("lengths", "groups", "dim"),
    [([1, 63, 64], 1, 64), ([65, 1000, 2], 4, 128), ([257, 300], 5, 128), ([300], 8, 64)],
    ids=["short", "1000_beside_2", "five", "eight"],
)
def test_flash_attn_equals_the_reference(flash, make, lengths, groups, dim, half):
    query, keys, values, lengths = make(lengths, groups, dim, half)
    output, lse = flash.attend(query, keys, values, lengths, SCALE)
    expected, expected_lse = reference.attend(query, keys, values, lengths, keys.shape[2], SCALE, None)
    assert (output.dtype, lse.dtype) == (half, torch.float32)
    torch.testing.assert_close(output, expected, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(lse, expected_lse, rtol=1e-3, atol=1e-3)


@gpu
def test_row_is_bit_equal_whatever_its_neighbours_and_the_capacity_are(flash, make):
    query, keys, values, lengths = make([300, 1000], 2, 64)
    beside = flash.attend(query, keys, values, lengths, SCALE)
    alone = flash.attend(query[:1], keys[:1, :, :320], values[:1, :, :320], lengths[:1], SCALE)
    assert torch.equal(beside[0][0], alone[0][0])
    assert torch.equal(beside[1][0], alone[1][0])


@gpu
def test_a_captured_call_follows_lengths_that_change(flash, make):
    query, keys, values, lengths = make([40, 200], 4, 128)
    flash.attend(query, keys, values, lengths, SCALE)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output, _ = flash.attend(query, keys, values, lengths, SCALE)
    lengths[:] = torch.tensor([[7], [150]], dtype=torch.int32, device=lengths.device)
    graph.replay()
    expected, _ = reference.attend(query, keys, values, lengths, keys.shape[2], SCALE, None)
    torch.testing.assert_close(output, expected, rtol=2e-2, atol=2e-2)
