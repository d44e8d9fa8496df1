"""What VaSE says is better than what, on made-up runs."""

import pytest
from kvarena.analysis.load import load
from kvarena.analysis.studies.claims import claims, claims_markdown


@pytest.fixture
def run(write, record):
    """run(task, method, right): 40 problems, of which the first so many are right and the last five loop."""

    def add(task, method, right, ratio=2.0):
        records = [
            record(
                sample=f"s{i}", score=float(i < right), loop_onset=7 if i >= 35 and method == "evict_large" else None
            )
            for i in range(40)
        ]
        labels = {"task": task, "model": "reasoner", "method": method, "ratio": ratio}
        write(f"{task}-{method}-{ratio}", records, samples=40, **labels)

    return add


def test_cells_are_counted_by_the_interval_of_their_paired_gain(run, tmp_path):
    for task, better, than in ("a", 30, 10), ("b", 10, 30), ("c", 20, 20):
        run(task, "vase_dkv", better)
        run(task, "curdkv_vase", than)
    run("d", "vase_dkv", 40)  # nothing to pair it with
    run("a", "vase_dkv", 20, ratio=4.0)
    run("a", "evict_random", 20)
    run("a", "evict_large", 0)
    table = claims(load(tmp_path)).set_index("better")
    assert list(table.index) == ["vase_dkv", "evict_random"]
    assert table.loc["vase_dkv", ["cells", "above", "below"]].tolist() == [3, 1, 1]
    assert table.loc["vase_dkv", "gain"] == pytest.approx(0)
    assert table.loc["vase_dkv", "published"] == pytest.approx(0.09)
    assert table.loc["evict_random", ["cells", "above", "below"]].tolist() == [1, 1, 0]
    assert table.loc["evict_random", "gain"] == pytest.approx(0.5)
    assert table.loc["evict_random", "loop_gain"] == pytest.approx(-5 / 40)
    last = claims_markdown(claims(load(tmp_path))).splitlines()[-1]
    assert " ".join(last.split()).endswith("| evict_random | evict_large | +0.39 | 1 | 1 | 0 | +0.50 | -0.12 |")


def test_a_study_without_the_pairs_has_no_rows(run, tmp_path):
    run("a", "h2o", 3)
    assert claims(load(tmp_path)).empty


def test_two_runs_of_one_cell_are_refused_and_unfinished_or_packed_ones_are_none_of_it(run, write, record, tmp_path):
    run("a", "vase_dkv", 30)
    run("a", "curdkv_vase", 10)
    labels = {"task": "a", "method": "vase_dkv", "ratio": 2.0, "model": "reasoner"}
    write("z", [record(score=0.0)], samples=40, **labels)
    write("zz", [record(sample=f"s{i}", score=0.0) for i in range(40)], samples=40, cache="int4", **labels)
    assert claims(load(tmp_path)).gain.tolist() == [pytest.approx(0.5)]
    write("zzz", [record(sample=f"s{i}", score=0.0) for i in range(40)], samples=40, **labels)
    with pytest.raises(ValueError, match=r"a-vase_dkv-2.0 and zzz are of one method, ratio and task: give one"):
        claims(load(tmp_path))
