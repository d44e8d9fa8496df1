"""kvarena-probe, on traced runs of the reasoner."""

import csv
import json
import shutil
import sys

import pytest
import torch
from kvarena.runners.forget import Remembered
from kvarena.runners.model import Checkpoint, inverse_frequencies, shape_of
from kvarena.runners.readout import Slots, command, traced_texts

TRACED = ("difficulty=easy", "device=cpu", "engine.batch_size=4", "num_samples=4", "max_tokens=64", "engine.trace=4")


@pytest.fixture(scope="module")
def recorded(runs_in):
    traced = ["model.dtype=float32", *TRACED]
    random = [*traced, "method=random", "compression.tokens=64", "output_dir=random"]
    return runs_in("readout", random, [*traced, "method=full", "output_dir=full"])


@pytest.fixture
def probe(recorded, monkeypatch, capsys):
    monkeypatch.chdir(recorded)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["kvarena-probe", "device=cpu", "model.dtype=float32", *words])
        try:
            command.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return run


def test_a_slot_says_its_own_token(probe, recorded):
    code, said = probe("runs=[random]", "back=2", "output_dir=out")
    assert code == 0, said.err
    rows = list(csv.DictReader((recorded / "out/probe.csv").open()))
    assert {(row["task"], row["method"], row["tokens"]) for row in rows} == {("graph_search-easy", "random", "64")}
    assert {(row["layer"], row["head"]) for row in rows} == {(str(i), str(h)) for i in range(8) for h in range(4)}
    own = [row for row in rows if (row["layer"], row["back"], row["of"]) == ("0", "0", "all")]
    right = [float(row["right"]) for row in own if row["features"] == "both"]
    assert min(right) > 0.5 > 0.3 > max(float(row["shuffled"]) for row in own)  # fitted on two texts
    prompts = list(csv.DictReader((recorded / "out/prompt.csv").open()))
    assert len(prompts) == 32
    assert all(0 <= int(row["right"]) <= int(row["reached"]) <= int(row["evicted"]) for row in prompts)
    assert json.loads((recorded / "out/probe.json").read_text())["config"]["runs"] == ["random"]
    assert said.out.startswith("random: read 0 back ")


def test_keys_are_turned_back_to_the_key_of_the_token_at_position_0(recorded, monkeypatch):
    monkeypatch.chdir(recorded)
    from hydra import compose, initialize_config_module
    from hydra.utils import instantiate

    with initialize_config_module("kvarena.conf", version_base="1.3"):
        checkpoint: Checkpoint = instantiate(compose("probe", ["runs=[random]", "model.dtype=float32"]).model)
    model = checkpoint.load(torch.device("cpu"))
    frequencies = inverse_frequencies(model, shape_of(model.config))
    slots = Slots.of(traced_texts("random", checkpoint), 0, 1, frequencies)
    for place in (3, 70, 150):
        alone = Remembered()
        alone.read(model, [int(slots.own[place])], 0)  # the first layer's key is of its token alone
        assert torch.allclose(alone.keys[0][1, 0], slots.keys[place], atol=1e-4)
        assert torch.allclose(alone.values[0][1, 0], slots.values[place], atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs=[nowhere]"], "nowhere has no run.json"),
        (["runs=[full]"], "full has no trace of a round"),
        (
            ["runs=[random]", "model.dtype=bfloat16"],
            "runs: random was decoded in float32, and model.dtype is bfloat16: give model.dtype=float32",
        ),
        (
            ["runs=[random]", "model=smollm2_135m"],
            "has traces of model reasoner, not smollm2_135m: give model=reasoner",
        ),
        (["runs=[other]"], "other has traces of other weights (model.safetensors)"),
        (["runs=[short]"], "short has traced one text"),
        (["runs=[]"], "runs"),
        (["runs=[random]", "back=0"], "back=0"),
        (["runs=[random]", "penalty=0"], "penalty=0"),
        ([], "runs"),
    ],
)
def test_what_is_wrong_is_one_line(probe, recorded, words, said):
    if not (recorded / "other").exists():
        for name in ("other", "short"):
            shutil.copytree(recorded / "random", recorded / name)
        header = json.loads((recorded / "other/run.json").read_text())
        header["fingerprints"]["weights"]["model.safetensors"] = "0"
        (recorded / "other/run.json").write_text(json.dumps(header))
        for file in sorted((recorded / "short/trace").iterdir())[1:]:
            file.unlink()
    code, printed = probe(*words)
    assert code == 2
    assert printed.err.startswith("kvarena: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1
