import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.inertia import InertiaKV
from kvarena.methods.quest import Quest
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.runners.generate import Prompt, prompt_mass
from kvarena.runners.generate.prefill import QUERIES


@pytest.mark.parametrize("length", [1, 7, QUERIES, QUERIES + 22], ids=["one", "short", "a_block", "two_blocks"])
def test_prompt_mass_sums_the_causal_probabilities(rng, length):
    query, key = torch.randn(2, 3, length, 8, generator=rng), torch.randn(2, length, 8, generator=rng)
    mass = prompt_mass(query[None], key[None], 0.4)[0]
    expected = torch.zeros(2, length, dtype=torch.float64)
    for i in range(length):
        logits = torch.einsum("hgd,hjd->hgj", query[:, :, i].double(), key[:, : i + 1].double()) * 0.4
        expected[:, : i + 1] += logits.softmax(-1).mean(1)
    torch.testing.assert_close(mass.double(), expected, rtol=1e-4, atol=1e-5)
    assert mass.sum(-1).tolist() == pytest.approx([length] * 2, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("count", [None, 5], ids=["whole", "padded"])
def test_mass_that_decays_is_that_of_decoding_the_prompt(feed, alpha, count):
    """Nine tokens read at once, or one after the other; of those read at once four may be padding."""
    rows = feed(InertiaKV(budget=Budget(tokens=50, recent=4), alpha=alpha))
    rows.admit(0, 1)
    rows.run(8 if count is None else count - 1)
    queries, keys, _ = (part[0] for part in rows.tape[0])
    padding = 0 if count is None else 4
    queries, keys = (torch.cat([part, rows.draw(len(part), padding)], 1) for part in (queries, keys))
    known = None if count is None else torch.tensor([count])
    (mass,) = prompt_mass(queries.unflatten(0, (2, 2))[None], keys[None], 0.4, known, decay=alpha)
    length = 9 if count is None else count
    torch.testing.assert_close(rows.cache.layers[0].mass[0, :, :length], mass[:, :length], rtol=1e-4, atol=1e-6)
    assert not mass[:, length:].any()


def test_output_is_causal_attention_of_every_token(feed, shape, scale):
    rows = feed(Full())
    rows.cache.admit(0, 9, (0, 0))
    query, key, value = rows.draw(1, 4, 9), rows.draw(1, 2, 9), rows.draw(1, 2, 9)
    output = Prompt(cache=rows.cache).attend(0, query, key, value, scale)
    assert output.shape == (1, 9, 4, 8)
    for i in range(9):
        for head in range(4):
            weights = (key[0, head // 2, : i + 1] @ query[0, head, i] * scale).softmax(0)
            torch.testing.assert_close(output[0, i, head], weights @ value[0, head // 2, : i + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prompt", [1, 3, 4, 5, 11])
def test_fills_the_ring_of_queries(feed, prompt):
    rows = feed(VaSEAttnV(budget=Budget(tokens=50, recent=4)))
    rows.admit(1, prompt)
    queries = rows.tape[1][0][0].unflatten(0, (2, 2))
    for position in range(max(0, prompt - 4), prompt):
        assert torch.equal(rows.cache.layers[0].queries[1, :, :, position % 4], queries[:, :, position])


def test_fills_only_its_row(feed):
    rows = feed(H2O(budget=Budget(tokens=50, recent=4)), batch_size=3)
    rows.admit(1, 9)
    for i, layer in enumerate(rows.cache.layers):
        _, keys, values = rows.tape[1]
        assert torch.equal(layer.keys[1, :, :9], keys[i])
        assert torch.equal(layer.values[1, :, :9], values[i])
        assert layer.positions[1, :, :9].tolist() == [list(range(9))] * 2
        assert layer.lengths.tolist() == [[0, 0], [9, 9], [0, 0]]
        assert (layer.positions[[0, 2]] == -1).all()
        assert not any(column[[0, 2]].any() for column in (layer.keys, layer.values, layer.mass))


@pytest.mark.parametrize("prompt", [3, 4, 9])
def test_page_bounds_of_the_prompt(feed, prompt):
    rows = feed(Quest(budget=Budget(tokens=16, recent=1), page=4))
    rows.admit(0, prompt)
    for page, keys in enumerate(rows.tape[0][1][0].split(4, 1)):
        assert torch.equal(rows.cache.layers[0].page_min[0, :, page], keys.amin(1))
        assert torch.equal(rows.cache.layers[0].page_max[0, :, page], keys.amax(1))
