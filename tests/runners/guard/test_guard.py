"""Shared columns, what a guard makes of them, and what is read of that."""

import pytest
import torch
from kvarena.runners.forget import Remembered
from kvarena.runners.guard import Guard, Shared, columns_of, leaks, memory_of, noisy, readability
from kvarena.runners.model import inverse_frequencies, shape_of
from kvarena.runners.readout import Ridge

TOKENS = [(7 * i + 3) % 61 for i in range(24)]
WORDS = 6


@pytest.fixture
def planted(rng):
    """Six texts of a layer and two heads: a column of the first head is a code of its token, of the second nothing."""
    codes = torch.randn(WORDS, 4, generator=rng)
    tokens = torch.randint(WORDS, (6, 30), generator=rng)
    columns = [torch.stack([codes[each], torch.randn(30, 4, generator=rng)])[None] for each in tokens]
    return Shared.of(columns, tokens.tolist())


def split(shared):
    fit = shared.text % 2 == 0
    return shared.columns[:, :, fit], shared.tokens[fit], shared.columns[:, :, ~fit], shared.tokens[~fit]


def test_columns_are_the_memory_again_and_keys_of_layer_0_are_of_their_token_alone(model):
    memory = Remembered()
    memory.read(model, [5, *TOKENS, 5], 0)
    frequencies = inverse_frequencies(model, shape_of(model.config))
    columns = columns_of(memory, frequencies)
    assert torch.allclose(columns[0, :, 0], columns[0, :, -1], atol=1e-5)
    assert not torch.allclose(memory.keys[0][:, 0], memory.keys[0][:, -1], atol=1e-2)
    again = memory_of(columns, frequencies, torch.float32)
    for ours, theirs in zip([*again.keys, *again.values], [*memory.keys, *memory.values], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_untrained_nothing_changes(rng):
    columns = torch.randn(2, 3, 40, 8, generator=rng)
    assert torch.equal(Guard.untrained(columns, 5, rng)(columns), columns)


def test_a_guard_is_a_residual_of_scaled_columns():
    one = torch.ones(1, 1, 1, 1)
    guard = Guard(spread=2 * one, linear=3 * one, inner=one, shift=0 * one, outer=10 * one, offset=one)
    said = guard(torch.tensor([[[[2.0]]]]))  # z = 1, gelu(1) = 0.841345
    assert said.item() == pytest.approx(2 + 2 * (3 + 8.41345 + 1), abs=1e-4)


def test_noise_is_of_the_spread_of_each_channel(rng):
    columns, spread = torch.zeros(1, 1, 20000, 2), torch.tensor([[[[1.0, 5.0]]]])
    assert torch.equal(noisy(columns, 0, spread, rng), columns)
    assert noisy(columns, 2, spread, rng).std(2).flatten().tolist() == pytest.approx([2, 10], rel=0.02)


def test_readability_is_the_part_that_a_ridge_probe_explains(planted):
    fitted, words, asked, truth = split(planted)
    found = readability(fitted.double(), words, asked.double(), truth, 0.01)
    assert found.shape == (1, 2)
    for head in range(2):
        probe = Ridge.fit(fitted[0, head], words, 0.01)
        inputs = (asked[0, head].double() - probe.mean) / probe.spread
        said = inputs @ probe.weight[:-1] + probe.weight[-1]
        target, mean = (torch.nn.functional.one_hot(each, WORDS).double() for each in (truth, words))
        explained = 1 - (target - said).square().sum() / (target - mean.mean(0)).square().sum()
        assert found[0, head].item() == pytest.approx(max(explained.item(), 0), abs=1e-6)
    assert found[0, 0] > 0.5
    assert found[0, 1] < 0.05


def test_its_gradient_hides_what_a_column_says(planted):
    """Through probes that are fitted anew, not by one that no longer fits."""
    fitted, words, asked, truth = split(planted)
    guard = Guard.untrained(planted.columns, 4, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([each.requires_grad_() for each in guard.learnt], lr=0.03)
    for _ in range(150):
        found = readability(guard(fitted), words, guard(asked), truth, 0.01)
        optimizer.zero_grad()
        found.sum().backward()
        optimizer.step()
    before = readability(fitted, words, asked, truth, 0.01)
    after = readability(guard(fitted), words, guard(asked), truth, 0.01)
    assert after[0, 0] < 0.6 * before[0, 0]


def test_what_probes_read(planted):
    rows = list(leaks(planted, 1e-3, 16, 200, 64))
    assert [(row["probe"], row["layer"], row["head"]) for row in rows] == [
        ("ridge", 0, 0),
        ("ridge", 0, 1),
        ("perceptron", 0, ""),
        ("perceptron", "", ""),
    ]
    said, nothing, layer, whole = (row["right"] for row in rows)
    assert min(said, layer, whole) > 0.9
    assert nothing < 0.4
    assert max(rows[0][name] for name in ("chance", "place", "shuffled")) < 0.6


def test_the_place_of_a_token_can_say_it(planted):
    form = [[0, 1, 2, 3, 4, 5] * 5] * 6
    shared = Shared.of([planted.columns[:, :, :30]] * 6, form)
    assert next(leaks(shared, 1e-3, 4, 1, 8))["place"] == 1.0


def test_a_perceptron_reads_what_no_linear_probe_can(rng):
    """Whether two bits differ."""
    bits = torch.randint(2, (8, 100, 2), generator=rng)
    tokens = (bits[..., 0] != bits[..., 1]).long()
    columns = [each[None, None].float() for each in bits]
    ridge, *_, whole = (row["right"] for row in leaks(Shared.of(columns, tokens.tolist()), 1e-3, 32, 300, 128))
    assert whole == 1.0
    assert ridge < 0.85  # three of four corners at best


def test_fewer_slots_than_channels_are_refused(planted):
    few = Shared.of([planted.columns[:, :, :3], planted.columns[:, :, :3]], [[1, 2, 3], [1, 2, 3]])
    with pytest.raises(ValueError, match="3 slots to fit on are not more than the 4 channels"):
        list(leaks(few, 0.01, 4, 1, 8))
