"""Learned columns at equal bytes, of runs as the evaluation writes them."""

import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.studies.learned_columns import kind_of, learned_columns, learned_figure, main


def cache_of(keys, values, calibration=None):
    parts = {
        "keys": {"_target_": f"kvarena.kernels.pack.{keys}"},
        "values": {"_target_": f"kvarena.kernels.pack.{values}"},
    }
    return {"cache": parts | ({"calibration": calibration} if calibration else {})}


def test_a_line_a_cache_and_calibration(write, tmp_path, record, dense):
    runs = {
        "own": (0.25, 1.0, cache_of("Coefficients", "Coefficients", "cal/own.safetensors")),
        "others": (0.25, 0.0, cache_of("Coefficients", "Coefficients", "cal/others.safetensors")),
        "fp8": (0.5, 1.0, cache_of("Fp8", "Fp8")),
        "plain": (1.0, 1.0, None),
    }
    for name, (share, score, config) in runs.items():
        write(f"runs/{name}", [record(score=score)], samples=1, config=config, **dense, cache=name).note(
            bytes_share=share
        )
    write("runs/begun", [], samples=1, **dense).note(bytes_share=1.0)
    write("runs/ended_early", [record()], samples=2, **dense, cache="int8").note(bytes_share=0.5)
    write("runs/evicts", [record()], samples=1).note(bytes_share=0.25)
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert table[["kind", "calibration", "bytes_share", "of", "value"]].values.tolist() == [
        ["bits", "", 0.5, "accuracy", 1.0],
        ["bits", "", 1.0, "accuracy", 1.0],
        ["low rank", "others", 0.25, "accuracy", 0.0],
        ["low rank", "own", 0.25, "accuracy", 1.0],
    ]
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_forced_runs_have_their_divergence(write, tmp_path, record, dense):
    said = [record(kl=[0.01, 0.03], num_tokens=2, sample="a"), record(kl=[0.0002], num_tokens=1, sample="b")]
    config = cache_of("Plain", "Codebook", "x.safetensors") | {"texts": "x.jsonl"}
    write("runs/pq", said, samples=2, config=config, **dense, cache="plain-pq8").note(bytes_share=0.5)
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    (line,) = pd.read_csv(tmp_path / "out.csv").to_dict("records")
    assert (line["kind"], line["of"], line["value"]) == ("codebook values", "kl", pytest.approx(0.002))
    write("runs/free", [record()], samples=1, **dense).note(bytes_share=1.0)
    with pytest.raises(ValueError, match="all free, or all forced"):
        main([str(tmp_path / "runs"), str(tmp_path / "out")])


def test_kinds_of_two_sides():
    assert kind_of(cache_of("Coefficients", "Codebook")["cache"]) == "low rank keys and codebook values"


def test_calibrations_of_one_name_and_settings_of_one_task_stand_apart(write, tmp_path, record, dense):
    for level, given in (("easy", "reasoner"), ("easy", "own/reasoner.safetensors"), ("hard", "reasoner")):
        config = cache_of("Coefficients", "Coefficients", given)
        folder = f"runs/{level}-{given[:3]}"
        labels = dense | {"cache": "rank8", "difficulty": level}
        write(folder, [record()], samples=1, config=config, **labels).note(bytes_share=0.5)
    table = learned_columns(load(tmp_path))
    assert table[["difficulty", "calibration"]].values.tolist() == [
        ["easy", "own/reasoner.safetensors"],
        ["easy", "reasoner"],
        ["hard", "reasoner"],
    ]
    titles = [axis.get_title() for axis in learned_figure(table).axes]
    assert titles == ["graph_search (easy), reasoner", "graph_search (hard), reasoner"]
