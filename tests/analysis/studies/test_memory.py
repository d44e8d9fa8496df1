"""What kvarena-forget and kvarena-probe have written becomes tables of means."""

import json

import pandas as pd
import pytest
from kvarena.analysis.studies.memory import influence, main, prompt_means, read_means

ROW = {"span": "clause", "after": 16, "age": 20, "length": 5, "recomputed": 0, "tokens": 16, "kl_closing": 0.0}


def forget_rows():
    rows = []
    for sample, erased, dense in (("a", 1.0, 2.0), ("b", 0.0, 8.0)):
        for since, part in ((0, 0.75), (16, 0.25)):
            sums = {"sample": sample, "since": since, "kl_dense": dense * part}
            rows.append({**ROW, **sums, "eraser": "drop", "kl_erased": erased * part})
            rows.append({**ROW, **sums, "eraser": "exact", "kl_erased": 0.0})
    return rows


def write(folder, rows):
    folder.mkdir()
    pd.DataFrame(rows).to_csv(folder / "forget.csv", index=False)
    (folder / "forget.json").write_text(json.dumps({"labels": {"task": "sums", "difficulty": "easy"}}))


def test_influence_is_a_ratio_of_sums_over_texts():
    table = influence(pd.DataFrame(forget_rows()).rename(columns={"span": "what"}), ("what", "eraser", "after"))
    drop = table[table["eraser"] == "drop"].set_index("since")
    assert drop["influence"].tolist() == pytest.approx([0.1, 0.1, 0.1])
    assert drop["kl_dense"].tolist() == pytest.approx([7.5, 2.5, 10.0])
    assert drop["texts"].tolist() == [2, 2, 2]
    assert drop["low"].iloc[0] == pytest.approx(0.0)  # both draws are b
    assert drop["high"].iloc[0] == pytest.approx(0.5)  # both are a
    assert (table[table["eraser"] == "exact"]["influence"] == 0).all()


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


def test_a_folder_becomes_tables_and_a_picture(tmp_path):
    write(tmp_path / "spans", forget_rows())
    layers = [row | {"eraser": None, "first_layer": 0, "layers": 2} for row in forget_rows() if row["eraser"] == "drop"]
    write(tmp_path / "layers", layers)
    main([str(tmp_path), str(tmp_path / "out")])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"influence.csv", "influence.png", "layers.csv"}
    table = pd.read_csv(tmp_path / "out/influence.csv")
    assert set(table["task"]) == {"sums-easy"}
    assert len(table) == 6
    with pytest.raises(ValueError, match=r"holds no forget\.csv"):
        main([str(tmp_path / "out"), str(tmp_path / "none")])
