"""The benchmark of refilled places, small: what it counts; the times are real."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from kvarena.kernels.noise import Noise

TINY = ["shape=tiny", "engine=eager", "device=cpu", "dtype=float32", "batch_size=4", "num_requests=24", "prompt=6"]
TINY += ["compression.tokens=40", "compression.recent=8", "compression.interval=8", "method=streaming"]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/speed"))
    import refill

    return refill


@pytest.fixture
def run(script, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def start(*overrides: str) -> None:
        monkeypatch.setattr(sys, "argv", ["refill", *TINY, *overrides])
        script.main()

    return start


def test_a_line_a_mode(script, run, tmp_path, capsys):
    """Steps are those that the lengths ask for, the first token of each row being its prompt's."""
    run("lengths.median=40", "lengths.cap=60", "output=new/refill.csv")
    table = pd.read_csv(tmp_path / "new/refill.csv", index_col="mode")
    assert list(table.index) == ["shrinking", "refill"]
    sampler = script.LogNormal(median=40, sigma=0.6, cap=60)
    lengths = sampler.lengths(Noise(keys=torch.tensor([Noise.key(0, str(i), 0) for i in range(24)]))).tolist()
    assert max(lengths) == 60 > min(lengths) > 1
    assert (table.generated == sum(lengths)).all()
    places = [0] * 4
    for length in lengths:  # the next prompt goes to the place that is free first
        places[places.index(min(places))] += length - 1
    longest = [max(lengths[start : start + 4]) - 1 for start in range(0, 24, 4)]
    assert table.steps.to_dict() == {"shrinking": sum(longest), "refill": max(places)}
    assert table.loc["refill", "busy"] == pytest.approx((sum(lengths) - 24) / (4 * max(places)), abs=1e-3)
    assert table.ratio["shrinking"] == 1
    assert table.ratio["refill"] == pytest.approx(table.wall_s["shrinking"] / table.wall_s["refill"], abs=0.02)
    assert (table.tokens == 40).all()
    assert "refill: " in capsys.readouterr().out


def test_lengths_have_the_law_that_was_asked_for(script):
    rows = Noise(keys=torch.tensor([Noise.key(0, sample, 0) for sample in range(4000)]))
    lengths = script.LogNormal(median=2000, sigma=0.6, cap=8000).lengths(rows).double()
    assert lengths.median().item() == pytest.approx(2000, rel=0.05)
    assert lengths[lengths < 8000].log().std().item() == pytest.approx(0.6, rel=0.05)
    assert 0.002 < (lengths == 8000).double().mean().item() < 0.02  # 1 % lie beyond log(4) / 0.6 deviations


@pytest.mark.parametrize(
    ("override", "message"),
    [("dtype=int4", "dtype=int4: use one of float32"), ("engine=graphs", "engine=graphs needs a CUDA device")],
)
def test_what_cannot_be_timed_is_refused_in_one_line(run, capsys, override, message):
    with pytest.raises(SystemExit) as stop:
        run(override)
    assert stop.value.code == 2
    assert message in (error := capsys.readouterr().err)
    assert error.count("\n") == 1
