"""What is written whole or not at all."""

import os

from kvarena.runners.record import replace_file


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "table.csv"
    for content in ("a", b"b"):
        replace_file(path, content)
    assert path.read_text() == "b"
    assert [*tmp_path.iterdir()] == [path]


def test_a_pipe_stays_a_pipe(tmp_path):
    """So does /dev/null, where root could replace it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    replace_file(path, "a table")
    assert os.read(reader, 20) == b"a table"
    assert path.is_fifo()
    os.close(reader)
