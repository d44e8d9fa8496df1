from kvarena.analysis.load import load
from kvarena.analysis.published import beside, published
from kvarena.analysis.tables import results


def test_every_number_has_a_source_and_a_caveat():
    table = published()
    assert len(table) == 141
    assert table[["source", "file", "caveat", "value", "metric", "unit"]].notna().all().all()
    cells = table.query("model == 'Qwen3-4B' and task == 'aime25' and metric == 'accuracy'")
    assert dict(zip(cells.published_as, cells.value, strict=True)) == {
        "Attn": 47.92,
        "RKV": 49.58,
        "CUR Fixed": 48.75,
        "CUR Resample": 57.29,
        "Sample Attn + V": 59.17,
        "SeerR": 58.59,
        "Full": 66.41,
    }
    assert cells.caveat.str.startswith("copied from SeerAttention-R").tolist() == [False] * 5 + [True] * 2


def test_no_cell_is_there_twice():
    table = published()
    assert not table.duplicated(["task", "model", "published_as", "tokens", "metric"]).any()
    assert (table.query("method == 'full'").tokens.isna()).all()


def test_measured_beside_published(write, tmp_path, record, dense):
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b"}
    write("full", [record()], samples=1, **(labels | dense))
    write("a", [record(score=0.0)], samples=1, **labels, method="vase_dkv", tokens=4096)
    write("b", [record()], samples=1, **labels, method="knorm")
    write("c", [record()], samples=1, method="vase_dkv")
    table = beside(results(load(tmp_path)))
    assert table[["method", "accuracy", "published"]].values.tolist() == [
        ["full", 1.0, 76.04],
        ["vase_dkv", 0.0, 68.75],
        ["vase_dkv", 0.0, 57.92],
        ["vase_dkv", 0.0, 75.42],
    ]
    assert table.published_tokens.fillna(0).tolist() == [0, 4096, 2048, 6144]
