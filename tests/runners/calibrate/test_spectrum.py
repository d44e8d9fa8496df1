"""DenseColumns of a model, their spectrum and codebooks, by hand and against the model's own cache."""

import pandas as pd
import pytest
import torch
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.runners.calibrate import SIDES, DenseColumns, basis_of, dense_columns, energy_shares, learned_of
from kvarena.runners.calibrate.codebooks import clustered
from kvarena.runners.calibrate.table import spectrum_of, write_spectrum
from kvarena.runners.generate import Request

VECTORS = torch.tensor([[3.0, 4.0], [-3.0, -4.0], [0.8, -0.6], [-0.8, 0.6]])  # energies 25 and 1, half of each


@pytest.fixture(scope="module")
def tiny():
    texts = [Request("a", 0, list(range(1, 30)), [5, 6, 7]), Request("b", 0, list(range(30, 60)), [9])]
    return dense_columns(build_tiny_model("qwen2"), texts, most=1000), texts


def test_columns_are_what_the_model_caches(tiny):
    columns, texts = tiny
    model, found = build_tiny_model("qwen2"), []
    with torch.inference_mode():
        for text in texts:
            ids = torch.tensor([[*text.prompt, *text.completion[:-1]]])
            found.append(model(input_ids=ids, use_cache=True).past_key_values.layers)
    assert (columns.num_layers, columns.num_tokens) == (3, 31 + 30)
    for layer in range(3):
        for side in SIDES:
            expected = torch.cat([getattr(layers[layer], side)[0] for layers in found], 1)
            torch.testing.assert_close(columns.of(side, layer), expected, rtol=1e-4, atol=1e-5)


def test_tokens_that_are_kept_are_spread_evenly_over_all_texts(tiny):
    whole, texts = tiny
    few = dense_columns(build_tiny_model("qwen2"), texts, most=16)
    assert few.num_tokens == 16  # 0, 4, ... 60
    torch.testing.assert_close(few.of("values", 2), whole.of("values", 2)[:, ::4])


def test_a_basis_by_hand():
    torch.testing.assert_close(basis_of(VECTORS).float(), torch.tensor([[0.6, 0.8], [0.8, -0.6]]))
    assert energy_shares(VECTORS).whole.tolist() == pytest.approx([25 / 26, 1])


def test_energy_counts_the_mean_and_the_centred_does_not():
    moved = VECTORS + torch.tensor([8.0, -6.0])  # along the second direction: its energy is 101 then, 25 of the other
    assert energy_shares(moved).whole.tolist() == pytest.approx([100.5 / 113, 1])
    assert energy_shares(moved).centred.tolist() == pytest.approx([25 / 26, 1])


def test_clusters_by_hand():
    points = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    assert clustered(points, torch.tensor([[0.0], [1.0], [500.0]])).flatten().tolist() == [0.5, 11.0, 500.0]


def test_what_is_learned_has_a_basis_a_head_and_a_codebook_a_layer(tiny):
    learned = learned_of(tiny[0], [4])
    assert {name: (list(tensor.shape), tensor.dtype) for name, tensor in learned.items()} == {
        f"{side}.{name}": (shape, torch.float16)
        for side in SIDES
        for name, shape in {"basis": [3, 2, 16, 16], "codebook4": [3, 4, 61 * 2, 4]}.items()
    }


def test_the_table_has_each_head_and_all_together(tmp_path):
    columns = DenseColumns()
    for side in SIDES:
        columns.parts[side][0].append(torch.stack([VECTORS, VECTORS.flip(1)]))
    write_spectrum(tmp_path / "x.csv", spectrum_of(columns))
    table = pd.read_csv(tmp_path / "x.csv").set_index(["of", "heads", "rank"])
    assert table.share["keys", "each"].tolist() == pytest.approx([0.9615, 1.0])
    # of the pair (3, 4, 4, 3): energies 50 and 2 of 52
    assert table.share["values", "together"].tolist() == pytest.approx([0.9615, 1.0, 1.0, 1.0])
