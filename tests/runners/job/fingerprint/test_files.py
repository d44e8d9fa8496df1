"""Hashes of a model's files: read once where they are large, and not at all where the hub's cache names them."""

import hashlib
import os

import pytest
from kvarena.runners.job.fingerprint import TOKENIZER, background, changes, fingerprint, listed, weight_files
from kvarena.runners.job.fingerprint import files as module


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder like that of a model; the user's cache is below tmp_path, too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "README.md"):
        (folder / name).write_text(name)
    return folder


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_weights_and_tokenizer_are_hashed_by_file(model):
    assert fingerprint(model, weight_files(model)) == {
        "config.json": sha("config.json"),
        "model.safetensors": sha("model.safetensors"),
    }
    assert set(fingerprint(model, TOKENIZER)) == {"tokenizer.json", "tokenizer_config.json"}


def test_bin_files_count_where_there_are_no_others(model):
    (model / "pytorch_model.bin").write_text("old")
    assert "pytorch_model.bin" not in fingerprint(model, weight_files(model))
    (model / "model.safetensors").unlink()
    assert fingerprint(model, weight_files(model))["pytorch_model.bin"] == sha("old")


def test_a_file_of_the_hubs_cache_is_called_by_its_blob_and_not_read(tmp_path):
    blobs, snapshot = tmp_path / "models--a--b/blobs", tmp_path / "models--a--b/snapshots/0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blobs / ("ab" * 32))  # which is not even there
    assert fingerprint(snapshot, ["*.safetensors"]) == {"model.safetensors": "ab" * 32}


def test_a_large_file_is_read_again_only_when_it_has_changed(model, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 1)
    file, read = model / "model.safetensors", []
    digest = lambda file, name: read.append(file.name) or hashlib.sha256(file.read())  # noqa: E731
    monkeypatch.setattr(module.hashlib, "file_digest", digest)
    assert module.sha256(file) == module.sha256(file) == sha("model.safetensors")
    assert len(read) == 1
    os.utime(file, ns=(1, 1))
    module.sha256(file)
    assert len(read) == 2
    file.write_text("longer than before")
    os.utime(file, ns=(1, 1))
    assert module.sha256(file) == sha("longer than before")
    assert len(read) == 3


def test_a_cache_that_cannot_be_written_is_done_without(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 1)
    (tmp_path / "cache").write_text("a file is in its place")
    assert module.sha256(model / "config.json") == sha("config.json")


def test_what_changed_is_named_and_what_is_not_known_is_not_compared():
    there = {"weights": {"a": "1", "b": "2"}, "code": {"m": "1"}, "tokenizer": {}}
    now = {"weights": {"a": "1", "b": "3", "c": "4"}, "code": {}, "tokenizer": {"t": "1"}}
    assert changes(there, now) == {"weights": ["b", "c"]}
    assert listed(["a", "b", "c", "d", "e", "f"]) == "a, b, c, d and 2 more"


def test_an_error_in_the_background_is_raised_where_its_result_is_wanted():
    assert background(lambda: 3).result() == 3
    with pytest.raises(ZeroDivisionError):
        background(lambda: 1 // 0).result()
