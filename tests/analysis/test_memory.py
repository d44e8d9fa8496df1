"""What kvarena-forget and kvarena-probe have written becomes tables of means."""

import json
import re

import pandas as pd
import pytest
from kvarena.analysis.memory import influence, memory_tables, prompt_means, read_means
from kvarena.analysis.report import main

ROW = {"span": "clause", "after": 16, "age": 20, "length": 5, "recomputed": 0, "tokens": 16, "kl_closing": 1.5}
PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))  # layer, back


def forget_rows():
    rows = []
    for sample, erased, dense in (("a", 1.0, 2.0), ("b", 0.0, 8.0)):
        for since, part in ((0, 0.75), (16, 0.25)):
            sums = {"sample": sample, "since": since, "kl_dense": dense * part}
            rows.append({**ROW, **sums, "eraser": "drop", "kl_erased": erased * part})
            rows.append({**ROW, **sums, "eraser": "exact", "kl_erased": 0.0})
    return rows


def write(folder, rows, **changes):
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "forget.csv", index=False)
    labels = {"task": "sums", "difficulty": "easy", "model": "reasoner", "ratio": 1.0} | changes
    (folder / "forget.json").write_text(json.dumps({"labels": labels}))


def test_influence_is_a_ratio_of_sums_over_texts():
    table = influence(pd.DataFrame(forget_rows()).rename(columns={"span": "what"}), ("what", "eraser", "after"))
    drop = table[table["eraser"] == "drop"].set_index("since")
    assert drop["influence"].tolist() == pytest.approx([0.1, 0.1, 0.1])
    assert drop["kl_dense"].tolist() == pytest.approx([7.5, 2.5, 10.0])
    assert drop["kl_closing"].tolist() == [3.0, 3.0, 6.0]  # sums, as they are
    assert drop["texts"].tolist() == [2, 2, 2]
    assert drop["low"].iloc[0] == pytest.approx(0.0)  # both draws are b
    assert drop["high"].iloc[0] == pytest.approx(0.5)  # both are a
    assert (table[table["eraser"] == "exact"]["influence"] == 0).all()


def test_ratios_and_models_are_told_apart_where_there_are_several(tmp_path):
    rows = [{"method" if name == "span" else name: value for name, value in row.items()} for row in forget_rows()]
    evicted = {name: [row | {"method": name} for row in rows] for name in ("random", "snapkv")}
    write(tmp_path / "a", evicted["random"], ratio=2.0)
    write(tmp_path / "b", evicted["random"], ratio=4.0)
    write(tmp_path / "c", evicted["snapkv"], ratio=4.0)
    table = memory_tables(tmp_path)["influence"]
    assert set(table["what"]) == {"random, ratio 2", "random, ratio 4", "snapkv"}
    assert set(table["texts"]) == {2}
    assert set(table["task"]) == {"sums-easy"}
    write(tmp_path / "d", forget_rows(), model="other")
    assert set(memory_tables(tmp_path)["influence"]["task"]) == {"sums-easy, reasoner", "sums-easy, other"}


def test_where_nothing_was_said_nothing_is_left():
    rows = pd.DataFrame([row | {"kl_dense": 1e-4, "kl_erased": 1e-4} for row in forget_rows()])
    assert influence(rows, ("eraser",))[["influence", "low", "high"]].isna().all(axis=None)


def test_means_over_heads_count_what_was_asked():
    labels = {"task": "sums", "method": "h2o", "ratio": 4.0, "layer": 0}
    same = labels | {"features": "both", "back": 1, "of": "all", "chance": 0.1, "shuffled": 0.1, "text": 0.2}
    rows = pd.DataFrame([same | {"right": 1.0, "asked": 1}, same | {"right": 0.5, "asked": 3}])
    assert read_means(rows)[["right", "asked", "text"]].to_numpy().tolist() == [pytest.approx([0.625, 4, 0.2])]
    counts = [
        {"evicted": 8, "reached": 4, "right": 3, "by_text": 1},
        {"evicted": 2, "reached": 2, "right": 2, "by_text": 1},
    ]
    table = prompt_means(pd.DataFrame([labels | each | {"nowhere": 0.5} for each in counts]))
    assert table[["recovered", "text", "nowhere"]].to_numpy().tolist() == [[0.5, 0.2, 0.5]]


def probe_rows():
    same = {"task": "sums-easy", "method": "h2o", "ratio": 4.0, "head": 0, "features": "both", "of": "all"}
    shares = {"asked": 4, "chance": 0.1, "shuffled": 0.1}
    read = [same | shares | {"layer": i, "back": b, "right": 1 - b / 2 - i / 4, "text": 0.25} for i, b in PLACES]
    counts = {"evicted": 8, "reached": 4, "by_text": 1, "nowhere": 0.5}
    return read, [same | counts | {"layer": layer, "right": 2 + layer} for layer in (0, 1)]


def test_a_report_has_a_page_of_what_is_remembered(tmp_path, capsys):
    """In a folder without a single run too: there every number of the page is known."""
    (tmp_path / "runs").mkdir()
    write(tmp_path / "runs/spans", forget_rows())
    layers = [row | {"eraser": None, "first_layer": 0, "layers": 2} for row in forget_rows() if row["eraser"] == "drop"]
    write(tmp_path / "runs/layers", layers)
    for name, rows in zip(("probe", "prompt"), probe_rows(), strict=True):
        pd.DataFrame(rows).to_csv(tmp_path / "runs" / f"{name}.csv", index=False)
    elsewhere = tmp_path / "all/linked"
    elsewhere.parent.mkdir()
    elsewhere.symlink_to(tmp_path / "runs")
    assert main([str(elsewhere.parent)]) == 0
    report = elsewhere.parent / "report"
    assert f"wrote {report / 'memory.html'}" in capsys.readouterr().out
    tables = {f"{name}.csv" for name in ("influence", "layers", "readings", "prompt")}
    figures = {f"{name}.{kind}" for name in ("influence", "layers", "readings") for kind in ("png", "svg")}
    assert {path.name for path in (report / "memory").iterdir()} == tables | figures
    assert {path.name for path in report.iterdir()} == {"memory", "memory.html"}
    data = json.loads(
        re.search(r'id="data" type="application/json">(.*?)</script>', (report / "memory.html").read_text())[1]
    )
    drop, exact = data["influence"]
    assert [drop[name] for name in ("task", "what", "eraser", "texts")] == ["sums-easy", "clause", "drop", 2]
    assert (drop["influence"], exact["influence"]) == (0.1, 0.0)
    assert drop["since"] == [[0, 0.1], [16, 0.1]]
    (row,) = data["readings"]
    assert row["backs"] == [[0, 0.875, 0.25], [1, 0.375, 0.25]]
    assert row["prompt"] == {"layer": 1, "recovered": 0.375, "text": 0.125, "nowhere": 0.5}
    page = (report / "memory.html").read_text()
    assert main([str(elsewhere.parent)]) == 0  # what it wrote is no result of a command
    assert (report / "memory.html").read_text() == page


def test_without_forgetting_or_probes_there_is_nothing(tmp_path, capsys):
    assert memory_tables(tmp_path) == {}
    assert main([str(tmp_path)]) == 2
    assert "no run.json below it" in capsys.readouterr().err
