"""A learned eraser: what it reads, what it leaves alone, and what it is before and after a little training."""

import pytest
import torch
from kvarena.runners.forget import Influence, MarkedText, Recompute, Remembered
from kvarena.runners.forget.adapter import adapted, fresh
from kvarena.runners.forget.lesson import Lesson, neighbours
from kvarena.runners.forget.steer import Steer
from kvarena.runners.forget.steering import Steering
from kvarena.runners.job.made_of import weights
from kvarena.runners.model import Checkpoint, inverse_frequencies, shape_of

TOKENS = [(7 * i + 3) % 61 for i in range(60)]
TEXT = MarkedText("a", TOKENS, 30, (8, 15))
CUT = 34
MADE = {"weights": {"model.safetensors": "1"}}


def untrained(model):
    return Steer.untrained(model, shape_of(model.config), ["q_proj", "v_proj"], 2, MADE)


def any_steer(model):
    """One whose tensors are all something."""
    steer, rng = untrained(model), torch.Generator().manual_seed(1)
    return steer._replace(
        tensors={name: 0.3 * torch.randn(each.shape, generator=rng) for name, each in steer.tensors.items()}
    )


@pytest.fixture
def saved(model, tmp_path):
    """saved(steer): the eraser of its file."""

    def save(steer):
        steer.write(tmp_path / "own.safetensors")
        return Steering(path=str(tmp_path / "own.safetensors"))

    return save


def erased_by(eraser, model, tokens=TOKENS[:CUT]):
    memory = Remembered()
    memory.read(model, tokens, 0)
    return memory, eraser(model, memory, tokens, TEXT.span, inverse_frequencies(model, shape_of(model.config)))


def test_slots_of_zeros_take_the_share_of_a_logit_of_0_and_add_nothing():
    silent = Remembered(keys=[torch.zeros(1, 3, 2)], values=[torch.zeros(1, 3, 2)])
    key, value = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[5.0, -2.0]]]])
    said = silent.attend(0, torch.tensor([[[[2.0, 0.0]]]]), key, value, 0.5)
    share = 2.718281828 / (2.718281828 + 3)  # of a logit of 1 beside three of 0
    assert said.flatten().tolist() == pytest.approx([5 * share, -2 * share], abs=1e-5)


def test_untrained_the_span_is_silent_and_all_else_stays(model, saved):
    memory, erased = erased_by(saved(untrained(model)), model)
    assert (erased.next, erased.recomputed) == (CUT, 7)
    for old, new in zip([*memory.keys, *memory.values], [*erased.memory.keys, *erased.memory.values], strict=True):
        assert torch.equal(new[:, 8:15], torch.zeros_like(new[:, 8:15]))
        assert torch.equal(new[:, :8], old[:, :8])
        assert torch.equal(new[:, 15:], old[:, 15:])


def test_untrained_it_is_near_a_drop(model, saved):
    frequencies = inverse_frequencies(model, shape_of(model.config))
    influence = Influence(model=model, frequencies=frequencies, text=TEXT, cut=CUT)
    rows = list(influence.of_erasers({"drop": Recompute(), "steering": saved(untrained(model))}))
    drop, steering = (sum(row["kl_erased"] for row in rows if row["eraser"] == name) for name in ("drop", "steering"))
    assert drop != steering
    assert abs(steering - drop) < 0.5 * rows[0]["kl_dense"]


def test_what_takes_the_place_of_a_span_does_not_know_what_follows(model, saved):
    eraser = saved(any_steer(model))
    _, one = erased_by(eraser, model)
    _, other = erased_by(eraser, model, [*TOKENS[:15], *range(2, 30)])
    _, before = erased_by(eraser, model, [9, *TOKENS[1:CUT]])
    for keys, same in zip(one.memory.keys, other.memory.keys, strict=True):
        assert torch.equal(keys[:, 8:15], same[:, 8:15])
    assert not torch.equal(keys[:, 15:30], same[:, 15:30])
    assert not torch.allclose(keys[:, 8:15], before.memory.keys[-1][:, 8:15])


def test_an_adapter_adds_up_of_down_of_what_a_layer_sees(model):
    adapter = fresh(model, ["v_proj"], 1, torch.Generator().manual_seed(0))
    layer = model.model.layers[0].self_attn.v_proj
    inputs = torch.ones(1, layer.in_features)
    plain = layer(inputs)
    name = next(name for name in adapter if "layers.0." in name).rpartition(".")[0]
    adapter = {key: torch.ones_like(each) for key, each in adapter.items()}
    with adapted(model, adapter):
        assert torch.allclose(layer(inputs), plain + layer.in_features)
    assert torch.equal(layer(inputs), plain)
    assert name.endswith("v_proj")
    with pytest.raises(ValueError, match="no linear layer of a model"):
        fresh(model, ["nothing"], 1, torch.Generator())


def test_neighbours_are_said_once_more_as_if_nothing_had_been_between():
    text = neighbours(TEXT, CUT)
    assert text.tokens == [*TOKENS[:CUT], *TOKENS[:8], *TOKENS[15:39]]
    assert text.span == TEXT.span


def test_a_lesson_is_what_influence_measures(model):
    lesson = Lesson.of(model, TEXT, CUT, 100)
    influence = Influence(
        model=model, frequencies=inverse_frequencies(model, shape_of(model.config)), text=TEXT, cut=CUT
    )
    assert lesson.divergence(model, lesson.memory).tolist() == pytest.approx(influence.dense, abs=1e-5)


def test_a_little_training_brings_it_nearer_to_a_text_without_the_span(tiny_model):
    model = tiny_model().requires_grad_(False)
    lesson, steer = Lesson.of(model, TEXT, CUT, 20), untrained(model)
    optimizer = torch.optim.Adam([each.requires_grad_() for each in steer.tensors.values()], lr=0.05)
    losses = []
    for _ in range(12):
        loss = lesson.divergence(model, lesson.steered(model, steer)).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_of_a_file(model, saved, tmp_path):
    steer = any_steer(model)
    eraser = saved(steer)
    assert eraser.steer.made == MADE
    assert steer.parameters == sum(each.numel() for each in eraser.steer.tensors.values())
    assert all(torch.allclose(eraser.steer.tensors[name], each, atol=1e-3) for name, each in steer.tensors.items())
    eraser.check({"model.safetensors": "1"})
    with pytest.raises(ValueError, match=r"trained for other weights \(model.safetensors\)"):
        eraser.check({"model.safetensors": "2"})
    (tmp_path / "bad.safetensors").write_bytes(b"x")
    for path in ("bad.safetensors", "none.safetensors"):
        with pytest.raises(ValueError, match="no eraser that was trained"):
            Steering(path=str(tmp_path / path)).check({})


@pytest.mark.parametrize(
    ("name", "change", "made"),
    [
        ("keys.scale", lambda each: each[:2], MADE),
        ("values.offset", lambda each: each * torch.nan, MADE),
        ("model.layers.0.self_attn.q_proj.up", None, MADE),
        ("keys.scale", None, MADE),
        ("keys.scale", lambda each: each, [1]),
        ("keys.scale", lambda each: each, {"weights": "abc"}),
    ],
    ids=["size", "broken", "half", "missing", "made_of_a_list", "no_hashes"],
)
def test_parts_that_do_not_belong_together_are_refused(model, saved, name, change, made):
    steer = any_steer(model)
    others = {key: each for key, each in steer.tensors.items() if key != name}
    changed = {name: change(steer.tensors[name])} if change else {}
    with pytest.raises(ValueError, match="no eraser that was trained"):
        saved(Steer(others | changed, made)).check({"model.safetensors": "1"})


def test_the_one_that_ships_is_of_the_weights_that_ship():
    eraser = Steering(path="pkg://kvarena.models/reasoner/erasers/steering.safetensors")
    eraser.check(weights(Checkpoint(name="reasoner")))
    assert eraser.origin["parameters"] == 90112
    assert eraser.origin["config"]["tasks"] == ["assignments", "addition", "deduction"]
