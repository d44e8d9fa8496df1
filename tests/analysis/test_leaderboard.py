"""Methods ranked among those that do with no more bytes, over the runs of several places."""

import pandas as pd
import pytest
from kvarena.analysis.archive import pack
from kvarena.analysis.gathered import gathered
from kvarena.analysis.leaderboard import leaderboard
from kvarena.analysis.load import load
from kvarena.analysis.report import main

NUM = 40


@pytest.fixture
def place(write, record, config, dense):
    """place(name, num_right, ...): a run of 40 problems of which the first so many are right."""

    def build(name, num_right, *, method="snapkv", tokens=128, num_bytes=1000, planned=NUM, **changed):
        sampler, cache = changed.pop("sampler", {"temperature": 0.6}), changed.pop("cache", None)
        records = [
            record(sample=f"s{i:02}", score=float(i < num_right), resident_bytes=num_bytes, prompt_sha=f"p{i}")
            for i in range(NUM)
        ]
        labels = dense if method == "full" else {"method": method, "tokens": tokens, "ratio": 512 / tokens}
        said = config(tokens) | {"sampler": sampler}
        said["method"] |= changed
        return write(name, records, samples=planned, config=said, **labels, **({"cache": cache} if cache else {}))

    return build


def board(folder) -> pd.DataFrame:
    return leaderboard(load(folder)).set_index("method")


def ranks(table) -> dict[str, tuple]:
    return {name: tuple(row) for name, row in table[["rank_low", "rank_high", "rank_of"]].iterrows()}


def test_ranks_overlap_where_the_interval_of_the_difference_holds_zero(place, tmp_path):
    for method, num_right in (("vase_dkv", 36), ("h2o", 20), ("snapkv", 18), ("knorm", 2)):
        place(method, num_right, method=method)
    table = board(tmp_path)
    assert ranks(table) == {"vase_dkv": (1, 1, 4), "h2o": (2, 3, 4), "snapkv": (2, 3, 4), "knorm": (4, 4, 4)}
    assert list(table.index) == ["vase_dkv", "h2o", "snapkv", "knorm"]
    assert (table.better["snapkv"], table.level["snapkv"]) == ("vase_dkv", "h2o")
    assert (table.accuracy["h2o"], table.problems["h2o"], table["bytes"]["h2o"]) == (0.5, NUM, 1000)


def test_a_rival_does_with_no_more_bytes(place, tmp_path):
    """A fifth more is as many. What is larger still beats nobody smaller, and is beaten by the smaller."""
    place("small", 20, method="snapkv", num_bytes=1000)
    place("as small", 38, method="vase_dkv", num_bytes=1200)
    place("large", 39, method="quest", num_bytes=1300)
    place("larger", 4, method="knorm", num_bytes=9000)
    found = ranks(board(tmp_path))
    assert found == {"snapkv": (2, 2, 2), "vase_dkv": (1, 2, 3), "quest": (1, 2, 3), "knorm": (4, 4, 4)}


def test_another_method_counts_by_its_largest_run_within_reach(place, tmp_path):
    place("h2o-96", 20, method="h2o", tokens=96, num_bytes=960)
    for tokens, num_right in ((64, 38), (96, 4), (128, 39)):
        place(f"snapkv-{tokens}", num_right, tokens=tokens, num_bytes=10 * tokens)
    assert ranks(board(tmp_path))["h2o"] == (1, 1, 2)


def test_only_like_is_ranked(place, tmp_path):
    place("a", 30, method="snapkv")
    place("b", 10, method="h2o")
    place("c", 39, method="vase_dkv", sampler={"temperature": 1.0})
    table = board(tmp_path)
    assert ranks(table) == {"snapkv": (1, 1, 2), "h2o": (2, 2, 2), "vase_dkv": (pd.NA,) * 3}
    assert table.unlike["snapkv"] == "vase_dkv: sampler"
    assert table.unlike["vase_dkv"] == "h2o: sampler; snapkv: sampler"


def test_what_stands_for_nothing_is_not_ranked(place, tmp_path):
    place("a", 30, method="snapkv")
    place("b", 39, method="h2o", planned=NUM + 1)
    place("c", 39, method="vase_dkv").note(random_weights=True)
    table = board(tmp_path)
    assert ranks(table) == {"snapkv": (1, 1, 1), "h2o": (pd.NA,) * 3, "vase_dkv": (pd.NA,) * 3}
    assert table.note["h2o"] == "not ranked: incomplete 40/41"
    assert table.note["vase_dkv"] == "not ranked: random weights"


def test_one_row_a_method_and_budget_but_for_its_settings(place, tmp_path):
    for name, window in (("seed 0", 32), ("seed 1", 32), ("wide", 64)):
        place(name, 30, window=window)
    table = board(tmp_path)
    assert list(table.index) == ["snapkv (window=32)", "snapkv (window=64)"]
    assert list(table.repeats) == [1, 0]
    assert ranks(table) == {"snapkv (window=32)": (1, 2, 2), "snapkv (window=64)": (1, 2, 2)}


def test_a_packed_cache_is_a_rival_of_its_own(place, tmp_path):
    place("plain", 20, method="snapkv", num_bytes=1000)
    place("packed", 36, method="snapkv", num_bytes=900, cache="int8")
    assert ranks(board(tmp_path)) == {"snapkv": (2, 2, 2), "snapkv + int8": (1, 1, 2)}


@pytest.fixture
def archive(place, tmp_path):
    place("runs/a", 30, method="snapkv")
    place("runs/b", 10, method="h2o")
    pack(load(tmp_path / "runs"), tmp_path / "runs.tar.xz")
    return tmp_path / "runs.tar.xz"


def test_folders_and_archives_are_one(place, archive, tmp_path, capsys):
    place("more/c", 39, method="vase_dkv")
    places = [archive, tmp_path / "runs", tmp_path / "more"]
    assert main(["--leaderboard", *map(str, places), "--output", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out/leaderboard.csv").set_index("method")
    assert ranks(table) == {"vase_dkv": (1, 1, 3), "snapkv": (2, 2, 3), "h2o": (3, 3, 3)}
    assert list(table.repeats) == [0, 1, 1]  # the runs of the archive are those of the folder
    assert table.run["vase_dkv"] == f"{tmp_path}/more:c"
    page = (tmp_path / "out/leaderboard.md").read_text()
    assert page in capsys.readouterr().out
    (line,) = [line for line in page.splitlines() if "| snapkv " in line]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("4x", "2 of 3", "snapkv", "128", "0.001", "0.750 [0.597, 0.858]", "0.0%", "1 more runs of it"),
    ]


def test_an_archive_is_gone_when_it_was_read(archive):
    with gathered([archive]) as runs:
        assert {run.name.removeprefix(f"{archive}:") for run in runs} == {"a", "b"}
        folder = runs[0].folder.path
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["broken", "absent", "empty"])
def test_a_place_without_runs_is_named_in_a_line(archive, tmp_path, capsys, kind):
    source = tmp_path / {"broken": "cut.tar.xz", "absent": "absent.tar.xz", "empty": "empty"}[kind]
    (tmp_path / "cut.tar.xz").write_bytes(archive.read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    assert main(["--leaderboard", str(archive), str(source), "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(source) in error
    assert not (tmp_path / "out").exists()


def test_it_is_asked_for_alone(capsys):
    with pytest.raises(SystemExit):
        main(["runs", "--leaderboard", "more"])
    assert "give RUNS_DIR, --compare A B, or --leaderboard RUNS..." in capsys.readouterr().err


def test_what_is_ungraded_or_ended_in_an_error_is_counted(write, tmp_path, record):
    records = [record(sample="a"), record(sample="b", score=None), record(sample="c", score=None, stop="error")]
    write("a", records, samples=3)
    assert board(tmp_path).note.tolist() == ["errors 1; ungraded 2"]
