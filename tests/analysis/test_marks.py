import pandas as pd
import pytest
from kvarena.analysis.load import load
from kvarena.analysis.marks import marks, texts_marks
from kvarena.analysis.tables import results

OF_TEXTS = {"task": "t", "difficulty": None, "model": "m"}


def test_finished_runs_stand_beside_one_another_though_one_that_is_not_has_more_problems(
    write, tmp_path, record, dense
):
    two, three = ([record(sample=f"p{i}", score=1.0) for i in range(n)] for n in (2, 3))
    write("full", two, samples=2, **dense)
    write("a", two, samples=2, method="a")
    write("b", two, samples=2, method="b")
    write("c", three, samples=4, method="c")
    table = results(load(tmp_path))
    assert dict(zip(table["run"], marks(table), strict=True)) == {"full": "", "a": "", "b": "", "c": "§"}


@pytest.mark.parametrize(
    ("texts", "planned", "expected"),
    [
        ([64, 64, 100], [64, 64, 128], ["", "", "§"]),
        ([64, 128, 128], [64, 128, 128], ["§", "", ""]),
        ([64, 100], [128, 128], ["§", "§"]),
    ],
)
def test_drifts_of_as_many_texts_and_all_of_them_stand_beside_one_another(texts, planned, expected):
    rows = pd.DataFrame([OF_TEXTS | {"texts": n, "planned": all_of} for n, all_of in zip(texts, planned, strict=True)])
    assert [*texts_marks(rows)] == expected
