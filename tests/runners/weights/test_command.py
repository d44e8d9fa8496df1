"""kvarena-import: a line for what it wrote; what it refuses, in one line too, and the disk is as it was before."""

import shutil
import struct
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter, RopeScalingType
from kvarena.runners.weights import hugging_face, shards
from kvarena.runners.weights.command import main
from kvarena.runners.weights.gguf_file import REQUIRED

from .conftest import TOKENS

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def refusal(tmp_path, capsys) -> Callable:
    """refusal(*arguments): what the command says."""

    def run(*arguments: object) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
        folders = {path for path in tmp_path.rglob("*") if path.is_dir()}
        assert main([str(argument) for argument in arguments]) == 2
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
        assert {path for path in tmp_path.rglob("*") if path.is_dir()} == folders
        out, err = capsys.readouterr()
        name, _, message = err.partition(": ")
        assert (out, name, message.count("\n"), message[-1]) == ("", "kvarena-import", 1, "\n")
        return message

    return run


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "new/folder"


def edited(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


def cut(path: Path, *ends: int) -> list[Path]:
    """The file in pieces, part1.bin and so on."""
    data, pieces = path.read_bytes(), []
    for start, end in zip((0, *ends), (*ends, None), strict=True):
        pieces.append(path.with_name(f"part{len(pieces) + 1}.bin"))
        pieces[-1].write_bytes(data[start:end])
    return pieces


def test_one_line_says_what_was_written(write_gguf, output, capsys):
    assert main([str(write_gguf().path), str(output), "--dtype", "float32"]) == 0
    assert capsys.readouterr().out.startswith(f"{output}: Tiny, 16 Q8_0, 5 F32 as float32, ")
    assert sorted(path.name for path in output.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "origin.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [path.name for path in output.parent.iterdir()] == ["folder"]


def test_a_foreign_architecture(write_gguf, refusal, output):
    path = write_gguf(architecture="gemma3").path
    assert refusal(path, output) == f"{path} is of architecture gemma3: use llama, qwen2, qwen3\n"


@pytest.mark.parametrize("end", [0, 3])
def test_no_gguf(write_gguf, refusal, output, end):
    path = write_gguf().path
    path.write_bytes(path.read_bytes()[:end])
    assert "does not begin with GGUF" in refusal(path, output)


@pytest.mark.parametrize("end", [4, 20, 40, 700, 5_000, 12_000, -40, -1_000])
def test_cut_short(write_gguf, refusal, output, end):
    path = write_gguf().path
    path.write_bytes(path.read_bytes()[:end])
    assert "cut short" in refusal(path, output)


@pytest.mark.parametrize(
    ("number", "says"), [(99, "tensors of an unknown quantisation (np.uint32(99)"), (15, "of type Q8_K")]
)
def test_a_quantisation_that_cannot_be_read(write_gguf, refusal, output, number, says):
    path = write_gguf().path
    field = b"blk.0.attn_v.weight" + struct.pack("<IQQ", 2, 256, 128)
    edited(path, field + struct.pack("<I", 8), field + struct.pack("<I", number))
    assert says in refusal(path, output)


def test_a_missing_file(write_gguf, refusal, tmp_path, output):
    assert "no such file" in refusal(tmp_path / "none.gguf", output)
    one, _ = cut(write_gguf().path, 50_000)
    assert refusal(one, tmp_path / "part3.bin", output) == f"{tmp_path}/part3.bin: no such file\n"


def test_a_folder_in_place_of_a_file(refusal, tmp_path, output):
    assert refusal(tmp_path, output) == f"{tmp_path} is a folder: give the GGUF in it, or its parts in order\n"


def test_parts_in_another_order(write_gguf, refusal, output):
    one, two, three = cut(write_gguf().path, 50_000, 90_000)
    assert "give the parts of a GGUF in order" in refusal(one, three, two, output)
    assert "each once" in refusal(one, two, two, three, output)
    assert "nor the first part of one" in refusal(two, three, output)
    assert "cut short" in refusal(one, three, output)


def test_parts_of_names_without_an_order(write_gguf, refusal, output):
    one, two, three = cut(write_gguf().path, 50_000, 90_001)
    first, second, third = (part.rename(part.with_name(name)) for part, name in ((one, "x"), (two, "y"), (three, "z")))
    assert "parts out of order?" in refusal(first, third, second, output)


def test_another_gguf_behind_the_first(write_gguf, refusal, output):
    path = write_gguf().path
    other = shutil.copy(path, path.with_name("other.gguf"))
    assert "begins a GGUF of its own" in refusal(path, other, output)


def test_bytes_behind_the_last_tensor(write_gguf, refusal, output, tmp_path):
    path = write_gguf().path
    (tmp_path / "more").write_bytes(bytes(64))
    assert "bytes behind its last tensor: a part too many?" in refusal(path, tmp_path / "more", output)


def test_another_sha256(write_gguf, refusal, output):
    assert "download it again" in refusal(write_gguf().path, output, "--sha256", "0" * 64)


def test_a_folder_of_something_else(write_gguf, refusal, tmp_path):
    path = write_gguf().path
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("")
    assert "exists and was not imported" in refusal(path, tmp_path / "full")
    assert "exists and was not imported" in refusal(path, tmp_path / "full/thesis.tex")


def test_a_folder_of_another_import(write_gguf, refusal, output, tmp_path, capsys):
    path = write_gguf().path
    assert main([str(path), str(output)]) == 0
    capsys.readouterr()
    assert "holds tiny.gguf in bfloat16: choose another folder" in refusal(path, output, "--dtype", "float32")


@pytest.mark.parametrize("num_parts", [1, 2])
def test_no_space(write_gguf, refusal, output, monkeypatch, num_parts):
    path = write_gguf().path
    given = cut(path, 50_000)[:num_parts] if num_parts > 1 else [path]
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - 1000, 1000))
    assert "GB are needed and 0.00 GB free; make room" in refusal(*given, output)


def test_space_that_runs_out(write_gguf, refusal, output, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(shards, "save_file", full)
    assert "No space left on device" in refusal(write_gguf().path, output)


def test_without_the_extra(write_gguf, refusal, output, monkeypatch):
    path = write_gguf().path
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert refusal(path, output) == "needs the gguf package: pip install 'kvarena[gguf]'\n"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dropped": "blk.1.ffn_up.weight"}, "lacks tensor blk.1.ffn_up.weight"),
        ({"split": "deepseek-coder"}, "splits text by deepseek-coder"),
        ({"more": lambda w: w.add_rope_scaling_type(RopeScalingType.YARN)}, "scales its rotation (yarn)"),
        ({"more": lambda w: w.add_uint16("split.count", 3)}, "is one of 3 that llama.cpp split"),
        (
            {"more": lambda w: w.add_tensor("rope_freqs.weight", np.ones(32, np.float32))},
            "has tensors that no llama of transformers has: rope_freqs.weight",
        ),
        (
            {"dropped": "output_norm.weight", "more": lambda w: w.add_tensor("output_norm.weight", np.ones(7, "f4"))},
            "output_norm.weight is (7,), model.norm.weight is (256,)",
        ),
        (
            {
                "dropped": "output_norm.weight",
                "more": lambda w: w.add_tensor("output_norm.weight", np.full(256, np.nan, "f4")),
            },
            "output_norm.weight has values that are not finite",
        ),
    ],
    ids=["missing", "split", "rotation", "shards", "foreign", "shape", "nan"],
)
def test_a_gguf_that_would_become_another_model(write_gguf, refusal, output, changes, says):
    assert says in refusal(write_gguf(**changes).path, output)


UINT32, THREE = struct.pack("<I", 4), struct.pack("<Q", 3)  # a type, and a length
END = struct.pack("<I", TOKENS.index("<|im_end|>"))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            b"head_count" + UINT32 + struct.pack("<I", 4),
            b"head_count" + UINT32 + bytes(4),
            "ZeroDivisionError",
        ),
        (THREE + b"h e", THREE + b"h 7", "Token `h7` out of vocabulary"),
        (b"eos_token_id" + UINT32 + END, b"eos_token_id" + UINT32 + struct.pack("<I", 9999), "index out of range"),
    ],
    ids=["heads", "merge", "end"],
)
def test_metadata_that_contradict_one_another(write_gguf, refusal, output, old, new, says):
    said = refusal(edited(write_gguf().path, old, new), output)
    assert "tiny.gguf: no model can be made of its metadata (" in said
    assert says in said


def test_types_of_other_tokens(refusal, output, tmp_path):
    writer = GGUFWriter(tmp_path / "types.gguf", "llama")
    for key in REQUIRED:
        writer.add_uint32(f"llama.{key}", 2)
    writer.add_token_list(["a", "b"])
    writer.add_token_types([1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "has 2 tokens and the types of 1 (tokenizer.ggml)" in refusal(tmp_path / "types.gguf", output)


def test_a_gguf_of_nothing_but_a_header(refusal, output, tmp_path):
    writer = GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    for key in REQUIRED:
        writer.add_uint32(f"llama.{key}", 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "has no tokenizer (tokenizer.ggml.tokens)" in refusal(tmp_path / "vocabulary.gguf", output)


def test_a_gguf_without_an_end(write_gguf, refusal, output, monkeypatch):
    path = write_gguf(end=None).path
    monkeypatch.setattr(hugging_face, "ENDS", ())
    assert "names no token that ends a completion" in refusal(path, output)
