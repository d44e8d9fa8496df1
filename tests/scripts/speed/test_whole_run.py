"""The benchmark of whole runs, small: what it counts; the times are real."""

import sys
from pathlib import Path

import pandas as pd
import pytest
from kvarena.runners.generate import narrowing
from omegaconf import OmegaConf

TINY = ["shape=tiny", "engine=eager", "device=cpu", "dtype=float32", "batch_size=4", "steps=8", "output=runs.csv"]
TINY += ["compression.tokens=96", "compression.recent=8", "compression.interval=8", "method=streaming"]
TINY += ["mix.samples=6", "mix.completion.median=12", "mix.completion.cap=20"]
TINY += ["mix.prompt.median=20", "mix.prompt.least=5", "mix.prompt.most=70"]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts/speed"))
    import whole_run

    return whole_run


def test_a_line_says_where_the_time_went(script, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for overrides in (["order=given"], ["order=known", "mix=long", "mix.draws=2"]):
        monkeypatch.setattr(sys, "argv", ["whole_run", *TINY, *overrides])
        script.main()
    table = pd.read_csv(tmp_path / "runs.csv")
    assert table.mix.tolist() == ["short", "long"]
    assert table.requests.tolist() == [6, 12]
    assert (table.places == table.steps * 4).all()
    assert (table.places >= table.generated - table.requests).all()
    assert not table.narrow.any()
    parts = table.prefill_s + table.decode_s + table.idle_s
    assert parts.tolist() == pytest.approx(table.wall_s.tolist(), abs=0.01)
    efficiency = table.generated / 4 * table.step_ms / 1e3 / table.wall_s
    assert table.efficiency.tolist() == pytest.approx(efficiency.tolist(), rel=0.02)
    assert (table.step_ms == table[["step_before_ms", "step_after_ms"]].min(axis=1)).all()
    assert (table[["load_before", "load_after"]] >= 0).all(axis=None)
    assert "short, streaming: efficiency " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["whole_run", *TINY, "order=best"])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert "order=best: use one of given, predicted, known" in capsys.readouterr().err


def test_a_step_is_the_least_of_what_was_measured(script, monkeypatch, tmp_path):
    """Where the host is busy afterwards, a step that takes twice as long makes no run look twice as good."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["whole_run", *TINY])
    measure, busy = script.measure_steps, iter([7, 5, 7, 1, 7, 3, 7, 9, 7, 9, 7, 9])  # a warm-up and it, three times

    def measured(decoder, steps):
        found, times = measure(decoder, steps), next(busy)
        return found._replace(bursts=[(count, times * 1e-3 * count) for count, _ in found.bursts], rounds=[])

    monkeypatch.setattr(script, "measure_steps", measured)
    script.main()
    (line,) = pd.read_csv(tmp_path / "runs.csv").itertuples()
    assert (line.step_ms, line.step_before_ms, line.step_after_ms) == (1.0, 1.0, 9.0)
    assert line.efficiency == pytest.approx(line.generated / 4 * 1e-3 / line.wall_s, rel=0.02)


def test_steps_of_fewer_rows_count_as_such(script, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(narrowing, "PATIENCE", 2)
    monkeypatch.setattr(narrowing, "LEAST", 1)
    monkeypatch.setattr(sys, "argv", ["whole_run", *TINY, "+engine.narrow=true", "mix.completion.sigma=1.2"])
    script.main()
    (line,) = pd.read_csv(tmp_path / "runs.csv").itertuples()
    assert line.narrow
    assert line.generated - line.requests <= line.places < 4 * line.steps
    busy = (line.generated - line.requests) / line.places
    assert line.decode_s / (line.decode_s + line.idle_s) == pytest.approx(busy, abs=0.02)


def test_a_mix_is_what_its_config_says(script):
    from refill import LogNormal

    mix = OmegaConf.create(
        {"samples": 3000, "draws": 2, "prompt": {"median": 180, "sigma": 0.4, "least": 80, "most": 400}}
    )
    mixed = script.draw_mix(mix, LogNormal(median=300, sigma=0.6, cap=2048), 100, seed=0)
    sizes = pd.Series([len(request.prompt) for request in mixed.requests[::2]])
    assert (sizes.min(), sizes.max()) == (80, 400)
    assert sizes.median() == pytest.approx(180, rel=0.05)
    assert pd.Series(mixed.lengths).median() == pytest.approx(300, rel=0.05)
    first, second = mixed.requests[:2]
    assert (first.key, second.key, first.prompt) == (("0", 0), ("0", 1), second.prompt)
    assert mixed.lengths["0", 0] != mixed.lengths["0", 1]
    order = script.in_order(mixed, "known", 0.4, seed=0)
    means = [sum(mixed.lengths[request.sample, draw] for draw in (0, 1)) for request in order]
    assert means == sorted(means, reverse=True)
    guessed = [request.key for request in script.in_order(mixed, "predicted", 0.4, seed=0)]
    assert guessed != [request.key for request in order]
    assert sorted(guessed) == sorted(mixed.lengths)


@pytest.mark.parametrize("output", ["taken", "taken/file/runs.csv", "/sys/runs.csv"])
def test_an_output_that_takes_no_line_is_refused_before_anything_is_timed(
    script, monkeypatch, tmp_path, capsys, output
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").touch()
    monkeypatch.setattr(script, "measure_run", lambda *_: pytest.fail("it was timed"))
    monkeypatch.setattr(sys, "argv", ["whole_run", *TINY, f"output={output}"])
    with pytest.raises(SystemExit) as stop:
        script.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_table_of_other_columns_is_left_alone_and_the_line_is_said(script, tmp_path, capsys):
    other = tmp_path / "other.csv"
    other.write_bytes(b"a,b\n\xff,2\n")
    with pytest.raises(ValueError, match=r"output=.*other\.csv has other columns: choose another file"):
        script.append_lines(other, [{"mix": "short", "s": 2}], "{mix}: {s} s")
    assert other.read_bytes() == b"a,b\n\xff,2\n"
    assert capsys.readouterr().out == "short: 2 s\n"
