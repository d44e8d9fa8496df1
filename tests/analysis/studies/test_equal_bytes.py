"""Slots, bits, or both, of runs as the evaluation writes them."""

import pandas as pd
import pytest
from kvarena.analysis.panels import house_style
from kvarena.analysis.studies.equal_bytes import decades, equal_bytes_figure, main


def test_a_line_a_method_and_cache(write, tmp_path, record, dense):
    write("runs/full", [record()], samples=1, **dense).note(bytes_share=1.0)
    write("runs/fp8", [record()], samples=1, **dense, cache="fp8").note(bytes_share=0.5)
    for share, score in ((0.5, 1.0), (0.25, 0.0)):
        write(f"runs/{share}", [record(score=score)], samples=1, cache="fp8").note(bytes_share=share)
    write("runs/old", [record()], samples=1, ratio=2.0)  # does not say
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv")
    assert table[["method", "cache", "bytes_share", "accuracy"]].values.tolist() == [
        ["full", "fp8", 0.5, 1.0],
        ["full", "plain", 1.0, 1.0],
        ["snapkv", "fp8", 0.25, 0.0],
        ["snapkv", "fp8", 0.5, 1.0],
    ]
    assert (tmp_path / "out.png").stat().st_size > 1000


def drawn(axis) -> dict[str, list[tuple[float, float, bool]]]:
    """Of each line style the points, and whether they are faint."""
    found: dict[str, list[tuple[float, float, bool]]] = {}
    for line in axis.lines:
        points = zip(*line.get_data(), strict=True)
        found.setdefault(line.get_linestyle(), []).extend((x, y, line.get_alpha() is not None) for x, y in points)
    return found


def test_what_is_unfinished_or_unlike_is_faint_and_on_no_line(write, tmp_path, record, dense, config):
    two = [record(sample="s0"), record(sample="s1")]
    asked = config() | {"max_tokens": 100}
    write("runs/full", two, samples=2, **dense, config=asked).note(bytes_share=1.0)
    for name, share, records, settings in (
        *(("half", 0.5, two, asked), ("quarter", 0.25, two, asked), ("begun", 0.125, two[:1], asked)),
        ("longer", 0.0625, two, asked | {"max_tokens": 9999}),
    ):
        write(f"runs/{name}", records, samples=2, config=settings).note(bytes_share=share)
    main([str(tmp_path / "runs"), str(tmp_path / "out")])
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert dict(zip(table["bytes_share"], table["mark"], strict=True)) == {
        1.0: "",
        0.5: "",
        0.25: "",
        0.125: "§",
        0.0625: "‡",
    }
    (axis,) = equal_bytes_figure(table).axes
    faint = {(x, y) for x, y, is_faint in drawn(axis)["None"] if is_faint}
    assert {(0.125, 1.0), (0.0625, 1.0)} == faint
    assert drawn(axis)["-"] == [(0.25, 1.0, False), (0.5, 1.0, False)]


def test_a_ninth_cache_is_drawn_too():
    caches = [f"cache{i}" for i in range(12)]
    columns = {"method": "snapkv", "cache": caches, "bytes_share": 0.5, "accuracy": 0.5, "mark": ""}
    table = pd.DataFrame(columns | {"accuracy_low": 0.4, "accuracy_high": 0.6})
    with house_style():
        (axis,) = equal_bytes_figure(table).axes
    handles, names = axis.get_legend_handles_labels()
    assert sorted(names) == sorted(caches)
    assert len({(bar[0].get_color(), bar[0].get_marker()) for bar in handles}) == 12


def test_runs_of_two_tasks_are_refused(write, tmp_path, record, dense):
    write("runs/a", [record()], samples=1, **dense)
    write("runs/b", [record()], samples=1, **dense, task="sorting")
    with pytest.raises(ValueError, match="of several tasks"):
        main([str(tmp_path / "runs"), str(tmp_path / "out")])


def test_dense_alone_is_nothing_to_draw(write, tmp_path, record, dense):
    write("runs/full", [record()], samples=1, **dense, cache="fp8").note(bytes_share=0.5)
    with pytest.raises(ValueError, match="there is nothing to draw: no compressed run here is finished"):
        main([str(tmp_path / "runs"), str(tmp_path / "out")])


def test_a_kl_of_nothing_does_not_stretch_the_axis():
    assert decades(pd.Series([1e-9, 2e-3, 0.5])) == (1e-3, 1.0)
    assert decades(pd.Series([1.1e-3, 0.9])) == (1e-4, 10.0)  # not on the frame
    assert decades(pd.Series([1e-9])) == (1e-9, 1.0)
