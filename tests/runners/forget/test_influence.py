"""Spans erased from a tiny model's cache, beside transformers' own logits where a mask says what is left."""

import pytest
import torch
from kvarena.runners.forget import Influence, MarkedText, Recompute, Remembered
from kvarena.runners.forget.influence import bins
from kvarena.runners.forget.remembered import check_turns
from kvarena.runners.model import inverse_frequencies, shape_of, transformers_logits

TOKENS = [(7 * i + 3) % 61 for i in range(60)]
TEXT = MarkedText("a", TOKENS, 30, (8, 15))
CUT = 34
DROP = Recompute()
ERASERS = {
    "drop": DROP,
    "close": Recompute(shift=True),
    "some": Recompute(recompute=6),
    "exact": Recompute(recompute=None),
    "close_exact": Recompute(recompute=None, shift=True),
}


def frequencies(model):
    return inverse_frequencies(model, shape_of(model.config))


@pytest.fixture(scope="module")
def influence(tiny_model):
    model = tiny_model("qwen3")
    return Influence(model=model, frequencies=frequencies(model), text=TEXT, cut=CUT)


def masked_logits(model, seen, positions):
    """[S, V] float64 of TOKENS."""
    bias = torch.zeros(1, 1, *seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)
    with torch.inference_mode():
        return transformers_logits(
            model, torch.tensor([TOKENS]), attention_mask=bias, position_ids=torch.tensor([positions])
        )[0].double()


def divergence(one, other):
    p, q = one.log_softmax(-1), other.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)[CUT:-1]


def test_a_drop_is_a_mask_from_the_cut_on_and_never_is_a_mask_from_the_start(influence):
    model, causal = influence.model, torch.ones(60, 60, dtype=torch.bool).tril()
    dropped, never, places = causal.clone(), causal.clone(), list(range(60))
    dropped[CUT:, 8:15] = never[15:, 8:15] = False
    with_span, w = masked_logits(model, causal, places), masked_logits(model, never, places)
    rows = list(influence.of_erasers({"drop": DROP}))
    expected = divergence(masked_logits(model, dropped, places), w)
    assert influence.dense == pytest.approx(divergence(with_span, w).tolist(), abs=2e-5)
    assert sum(row["kl_erased"] for row in rows) == pytest.approx(float(expected.sum()), abs=1e-4)
    assert float(expected.sum()) > 0.001  # there is something to see
    closed = [*range(15), *range(8, 53)]
    expected = divergence(w, masked_logits(model, never, closed))
    assert influence.closing == pytest.approx(expected.tolist(), abs=2e-5)


def test_exact_recompute_leaves_nothing_and_costs_all_that_follows(influence):
    rows = {row["eraser"]: row for row in influence.of_erasers(ERASERS) if row["since"] == 0}
    assert {name: row["recomputed"] for name, row in rows.items()} == {
        "drop": 0,
        "close": 0,
        "some": 6,
        "exact": CUT - 15,
        "close_exact": CUT - 15,
    }
    assert rows["exact"]["kl_erased"] == pytest.approx(0, abs=1e-5)
    assert rows["close_exact"]["kl_erased"] == pytest.approx(0, abs=1e-5)
    assert rows["drop"]["kl_erased"] > 1e-4
    assert [rows["drop"][name] for name in ("length", "after", "age", "tokens")] == [7, 4, CUT - 15, 16]


def test_dropped_from_no_layer_it_is_dense_and_from_all_a_drop(influence):
    rows = [row for row in influence.of_layers() if row["since"] == 0]
    count = len(influence.memory.keys)
    assert [(row["first_layer"], row["layers"]) for row in rows] == [
        *((0, last) for last in range(count + 1)),
        *((alone, 1) for alone in range(1, count)),
    ]
    drop = next(influence.of_erasers({"drop": DROP}))
    assert rows[0]["kl_erased"] == rows[0]["kl_dense"]
    assert rows[count]["kl_erased"] == pytest.approx(drop["kl_erased"])
    assert len({row["kl_erased"] for row in rows}) == len(rows)


@pytest.mark.parametrize("family", ["qwen3", "qwen2", "llama"])
def test_read_in_pieces_is_read_at_once(tiny_model, family):
    model, whole, pieces = tiny_model(family), Remembered(), Remembered()
    states = whole.read(model, TOKENS, 0)
    parts = [pieces.read(model, TOKENS[start:end], start) for start, end in ((0, 1), (1, 24), (24, 60))]
    assert torch.allclose(torch.cat(parts), states, atol=1e-5)
    assert all(torch.allclose(*both, atol=1e-5) for both in zip(pieces.keys, whole.keys, strict=True))


def test_keys_that_are_turned_are_those_of_a_pass_at_other_positions(tiny_model):
    model, here, there = tiny_model("llama"), Remembered(), Remembered()
    here.read(model, TOKENS[:9], 4)
    there.read(model, TOKENS[:9], 1)
    moved = here.turned_by(-3, frequencies(model))
    assert all(torch.allclose(*both, atol=1e-5) for both in zip(moved.keys, there.keys, strict=True))


def test_a_family_that_turns_otherwise_is_refused(tiny_model):
    model = tiny_model("qwen3")
    check_turns(model, frequencies(model))
    with pytest.raises(ValueError, match="not turned by channels i and i"):
        check_turns(model, frequencies(model).flip(0))


def test_bins_hold_each_token_once():
    assert list(bins(70)) == [(0, slice(0, 16)), (16, slice(16, 64)), (64, slice(64, 70))]
    assert list(bins(16)) == [(0, slice(0, 16))]
    assert list(bins(300))[-1] == (256, slice(256, 300))
