"""What is written whole or not at all."""

import os

import pytest
from kvarena.runners.record import files, make_folder, replace_file, write_figure
from matplotlib.figure import Figure


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "table.csv"
    for content in ("a", b"b"):
        replace_file(path, content)
    assert path.read_text() == "b"
    assert [*tmp_path.iterdir()] == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no/table\.csv: there is no folder .*no, make it first"):
        replace_file(tmp_path / "no/table.csv", "a")
    replace_file(tmp_path / "table.csv", "a")
    with pytest.raises(ValueError, match=r"--output=.*table\.csv is a file, or below one: give a folder"):
        make_folder(tmp_path / "table.csv", "--output")


def test_a_pipe_stays_a_pipe(tmp_path):
    """So does /dev/null, where root could replace it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    replace_file(path, "a table")
    assert os.read(reader, 20) == b"a table"
    assert path.is_fifo()
    os.close(reader)


def test_what_a_signal_ends_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    replace_file(path, "before")

    def end(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:2])
        raise SystemExit(130)

    monkeypatch.setattr(files, "write_all", end)
    with pytest.raises(SystemExit):
        replace_file(path, "after")
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_figure_is_written_whole(tmp_path):
    figure = Figure(figsize=(1, 1))
    write_figure(figure, tmp_path / "a.png")
    write_figure(figure, tmp_path / "a.svg", metadata={"Date": None})
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match="Format 'nothing' is not supported"):
        write_figure(figure, tmp_path / "a.nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]
