"""Runs are found behind links, each once."""

import os

import pytest
from kvarena.runners.record import run_folders


@pytest.fixture
def make(tmp_path):
    """make(path): a run below `runs` or beside it."""

    def run(path):
        folder = tmp_path / path
        folder.mkdir(parents=True)
        (folder / "run.json").touch()
        return folder

    (tmp_path / "runs").mkdir()
    return run


def found(tmp_path):
    return [str(folder.relative_to(tmp_path / "runs")) for folder in run_folders(tmp_path / "runs")]


def test_links_to_runs_and_to_folders_of_runs_are_followed(make, tmp_path):
    make("else/where/s")
    make("else/more/a")
    make("else/more/b/c")
    (tmp_path / "runs/s").symlink_to(tmp_path / "else/where/s")
    (tmp_path / "runs/more").symlink_to("../else/more")
    assert found(tmp_path) == ["more/a", "more/b/c", "s"]


def test_a_link_as_the_root(make, tmp_path):
    make("else/a")
    (tmp_path / "runs").rmdir()
    (tmp_path / "runs").symlink_to(tmp_path / "else")
    assert found(tmp_path) == ["a"]


def test_a_run_with_links_to_it_is_found_once_and_by_its_own_path(make, tmp_path):
    make("runs/z/run")
    (tmp_path / "runs/a").symlink_to("z/run")
    (tmp_path / "runs/b").symlink_to("z")
    assert found(tmp_path) == ["z/run"]


def test_loops_of_links_end_and_lead_nowhere_else(make, tmp_path):
    make("beside")
    make("runs/a/b")
    (tmp_path / "runs/a/b/up").symlink_to("../..")
    (tmp_path / "runs/a/b/out").symlink_to(tmp_path)
    (tmp_path / "runs/a/self").symlink_to("self")
    (tmp_path / "else").mkdir()
    (tmp_path / "else/back").symlink_to("there")
    (tmp_path / "else/there").symlink_to("../else")
    (tmp_path / "runs/else").symlink_to("../else")
    assert found(tmp_path) == ["a/b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_an_error(make, tmp_path):
    make("runs/a").chmod(0)
    with pytest.raises(PermissionError, match="runs/a"):
        found(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "records.jsonl"])
def test_a_file_of_a_run_is_refused_with_its_folder(make, tmp_path, name):
    folder = make("runs/a")
    (folder / name).touch()
    with pytest.raises(ValueError, match=f"runs/a/{name} is a file of a run: give its folder, {folder}$"):
        run_folders(folder / name)


@pytest.mark.parametrize("path", ["nowhere", "runs/notes.txt", "runs/a/nowhere"])
def test_what_is_no_folder_is_refused(make, tmp_path, path):
    make("runs/a")
    (tmp_path / "runs/notes.txt").touch()
    with pytest.raises(ValueError, match=f"RUNS_DIR=.*{path} is not a folder: give the one that the runs"):
        run_folders(tmp_path / path)
