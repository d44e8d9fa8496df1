"""Prompts that lie behind one another leave what each leaves alone, to the last live slot."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from kvarena.kernels.pack import Affine
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.policy import Needs
from kvarena.methods.quest import Quest
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.runners.cache import PLAIN, KVCache, Storage
from kvarena.runners.cache.layer import COLUMNS
from kvarena.runners.generate import Decoder, Prompt, Request
from kvarena.runners.graphs import prompts
from kvarena.runners.graphs.decoder import forwards
from kvarena.runners.graphs.fused import FusedLayer, fuse
from kvarena.runners.graphs.prompts import LONGEST, PackedPrompt
from kvarena.runners.model import forward, own_attention, shape_of
from kvarena.runners.sampler import Sampling


@dataclass(frozen=True, kw_only=True)
class Hearing(Full):
    needs: ClassVar[Needs] = Needs(hidden=4)


BUDGET = Budget(tokens=64, recent=8, interval=8)
POLICIES = {
    "full": Full(),
    "h2o": H2O(budget=BUDGET),
    "quest": Quest(budget=BUDGET, page=16),
    "vase_attnv": VaSEAttnV(budget=BUDGET),
}


def read(kind, model, policy, lengths, storage=PLAIN, **options):
    """Cache whose rows begin with prompts of these lengths, as many a pass as it has, and the logits after each."""
    shape, device = shape_of(model.config), torch.device("cpu")
    sizes = dict(batch_size=len(lengths), longest_prompt=max(lengths), longest=max(lengths) + 8, storage=storage)
    cache = KVCache(policy=policy, shape=shape, dtype=torch.float32, device=device, **sizes)
    prompt, logits = kind(cache=cache, **options), []
    prompts = [[(7 * i + row) % 64 for i in range(length)] for row, length in enumerate(lengths)]
    with own_attention(model), torch.inference_mode():
        for rows in torch.arange(len(lengths)).split(prompt.most):
            for row in rows.tolist():
                cache.admit(row, lengths[row], (0, row))
            prompt.read(model, *(prompts[row] for row in rows))
            places = torch.tensor([prompt.place(prompts[row]) for row in rows])
            logits.append(prompt.seen[places])
            cache.seat(rows, prompt.layers, places)
    return cache, torch.cat(logits)


@pytest.mark.parametrize("name", POLICIES)
def test_padding_leaves_no_trace(model, name):
    policy, lengths, ran = POLICIES[name], [1, 7, 63, 64, 65, 200, 7], []

    def counted(work):
        return lambda: (ran.append(1), work())

    padded, theirs = read(PackedPrompt, model, policy, lengths, capture=counted)
    exact, ours = read(Prompt, model, policy, lengths)
    assert len(ran) == len(lengths)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    assert_same(padded, exact, lengths)


def assert_same(padded, exact, lengths):
    for one, other in zip(padded.layers, exact.layers, strict=True):
        assert one.lengths.tolist() == other.lengths.tolist() == [[length] * 2 for length in lengths]
        for column in COLUMNS:
            left, right = getattr(one, column), getattr(other, column)
            for row, length in enumerate(lengths):
                live = -(-length // 16) if column.startswith("page") else length
                whole = column in ("queries", "key_ring", "value_ring")
                mine, its = (part[row] if whole else part[row, :, :live] for part in (left, right))
                torch.testing.assert_close(mine.float(), its.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
def test_four_prompts_of_a_pass_are_what_each_is_alone(model, name):
    """Of unlike lengths, the second time three of them, with one that came before."""
    policy, lengths, ran = POLICIES[name], [1, 130, 63, 7, 64, 65, 9], []

    def counted(work):
        return lambda: (ran.append(1), work())

    together, theirs = read(PackedPrompt, model, policy, lengths, most=4, capture=counted)
    alone, ours = read(Prompt, model, policy, lengths)
    assert len(ran) == 2
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    assert_same(together, alone, lengths)


def test_a_capture_sees_no_sequence_beyond_the_tokens_of_its_pass(model, monkeypatch):
    """A pass over 64 tokens, after one over 192: what warms it up reads by bounds that are its own."""
    ends, attend = [], prompts.attend_segments

    def watched(query, key, value, bounds, *rest):
        ends.append((bounds[-1].item(), len(query)))
        return attend(query, key, value, bounds, *rest)

    def captured(work):
        work()
        return work

    monkeypatch.setattr(prompts, "attend_segments", watched)
    read(PackedPrompt, model, Full(), [100, 90, 20, 30], most=2, capture=captured)
    assert [one for one in ends if one[0] > one[1]] == []
    assert sorted(set(ends)) == [(50, 64), (190, 192)]


def test_packed_prompts_of_a_pass_have_rings_of_their_own(model):
    storage, lengths = (
        Storage(keys=Affine(bits=8, group=None), values=Affine(bits=8, group=None), residual=4),
        [3, 40, 17, 64],
    )
    together, theirs = read(PackedPrompt, model, Full(), lengths, storage, most=4, capture=lambda work: work)
    alone, ours = read(Prompt, model, Full(), lengths, storage)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    for one, other in zip(together.layers, alone.layers, strict=True):
        torch.testing.assert_close(one.key_ring, other.key_ring, rtol=1e-4, atol=1e-5)
        for row, length in enumerate(lengths):
            close = (one.values[row, :, :length].int() - other.values[row, :, :length].int()).abs() <= 1
            assert close.all()


def test_a_prompt_that_was_read_last_is_not_read_again(model):
    ran = []
    shape, sizes = shape_of(model.config), dict(batch_size=4, longest_prompt=8, longest=16)
    cache = KVCache(policy=Full(), shape=shape, dtype=torch.float32, device=torch.device("cpu"), **sizes)
    prompt = PackedPrompt(cache=cache, most=2, capture=lambda work: lambda: (ran.append(1), work()))
    with own_attention(model), torch.inference_mode():
        for asked, places, passes in (
            (([1, 2], [1, 2]), [0, 0], 1),
            (([1, 2],), [0], 1),
            (([3], [1, 2]), [0, 1], 2),
            (([1, 2], [3]), [1, 0], 2),
        ):
            prompt.read(model, *asked)
            assert ([*map(prompt.place, asked)], len(ran)) == (places, passes)


class Ahead(Decoder):
    """Reads four prompts a pass."""

    def prompts(self, cache, sees=forward):
        return PackedPrompt(cache=cache, sees=sees, most=4, capture=lambda work: work)


def test_a_pass_is_read_ahead_of_the_rows(model, monkeypatch):
    """Ten requests through three rows: four of each pass, whose last one waits for a row that ends."""
    requests = [Request(str(i), 0, [i + 1] * (3 + i % 4), [5] * (2 + 3 * i % 7)) for i in range(10)]
    done, passes, read = [], [], PackedPrompt.forward
    monkeypatch.setattr(
        PackedPrompt, "forward", lambda *given, **more: (passes.append(given[2:]), read(*given, **more))[1]
    )
    for kind in Decoder, Ahead:
        sizes = dict(max_tokens=20, longest_prompt=8, batch_size=3)
        decoder = kind(model=model, policy=H2O(budget=BUDGET), sampler=Sampling(temperature=1.0), **sizes)
        passes.clear()  # the probe's
        done.append({each.sample: (each.token_ids, each.usage) for each in decoder.run(requests)})
    assert done[0] == done[1]
    assert [len(prompts) for prompts in passes] == [4, 4, 2]
    with pytest.raises(ValueError, match="sample long: prompt of 9 tokens, not 1 to 8"):
        list(decoder.run([*requests[:3], Request("long", 0, [1] * 9)]))


def test_hidden_states_of_a_pass_are_the_newest_of_each(model):
    policy, lengths = Hearing(), [1, 40, 3]
    together, _ = read(PackedPrompt, model, policy, lengths, most=3, capture=lambda work: work)
    alone, _ = read(Prompt, model, policy, lengths)
    for one, other in zip(together.layers, alone.layers, strict=True):
        for row, length in enumerate(lengths):
            places = [position % 4 for position in range(max(0, length - 4), length)]
            mine, its = (layer.hidden[row, 0, places] for layer in (one, other))
            torch.testing.assert_close(mine, its, rtol=1e-4, atol=1e-5)


def test_a_prompt_depends_on_no_other(model):
    """Not on what was read before it, nor in which order."""
    policy = POLICIES["h2o"]
    alone, logits = read(PackedPrompt, model, policy, [50, 1], capture=lambda work: work)
    after, others = read(PackedPrompt, model, policy, [50, 90, 64], capture=lambda work: work)
    assert torch.equal(logits[0], others[0])
    assert torch.equal(alone.layers[1].mass[0, :, :50], after.layers[1].mass[0, :, :50])
    again, last = read(PackedPrompt, model, policy, [50, 90, 50, 90], capture=lambda work: work)
    assert torch.equal(again.layers[0].keys[1, :, :1], after.layers[0].keys[1, :, :1])
    assert last.isfinite().all()


def test_long_prompts_take_their_own_launches(model):
    policy, lengths = POLICIES["full"], [LONGEST + 1]
    captured = []
    padded, theirs = read(PackedPrompt, model, policy, lengths, capture=captured.append)
    exact, ours = read(Prompt, model, policy, lengths)
    assert captured == []
    assert torch.equal(theirs, ours)
    assert torch.equal(padded.layers[0].keys, exact.layers[0].keys)


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_fused_layers_leave_what_the_model_leaves(tiny_model, family):
    model, policy, lengths = tiny_model(family), POLICIES["vase_attnv"], [9, 70, 1]
    alone, ours = read(Prompt, model, policy, lengths)
    fuse(model)
    layers = {layer: FusedLayer.of(layer) for layer in model.model.layers}
    used = dict(most=2, capture=lambda work: work, layers_as=lambda: forwards(layers))
    together, theirs = read(PackedPrompt, model, policy, lengths, **used)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    assert_same(together, alone, lengths)
