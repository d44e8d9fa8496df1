"""What an import writes is what the GGUF stands for, bit for bit."""

import json
import sys
from pathlib import Path

import pytest
import torch
from kvarena.runners import evaluate
from kvarena.runners.model import Checkpoint, eos_ids
from kvarena.runners.weights import read_origin, shards
from kvarena.runners.weights.importer import import_gguf

CPU = torch.device("cpu")
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K", "Q6_K"]


def imported(*parts: Path, dtype: torch.dtype = torch.float32) -> Checkpoint:
    output = parts[0].parent / "imported"
    import_gguf(parts, output, dtype=dtype)
    return Checkpoint(name="tiny", path=str(output), dtype=str(dtype).removeprefix("torch."))


def assert_same_values(checkpoint: Checkpoint, model) -> None:
    loaded, theirs = dict(checkpoint.load(CPU).named_parameters()), dict(model.named_parameters())
    assert set(loaded) == set(theirs)
    for name, parameter in loaded.items():
        assert torch.equal(parameter, theirs[name].to(parameter.dtype)), name


def assert_same(checkpoint: Checkpoint, model) -> None:
    """All parameters, and what the two answer."""
    assert_same_values(checkpoint, model)
    ids = torch.arange(40)[None]
    assert torch.equal(checkpoint.load(CPU)(ids).logits, model(ids).logits)


@pytest.mark.parametrize("kind", TYPES)
def test_every_quantisation(write_gguf, kind):
    path, model = write_gguf("llama", kind)
    assert_same(imported(path), model)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_every_family(write_gguf, family, tied):
    path, model = write_gguf(family, tied=tied)
    checkpoint = imported(path)
    assert_same(checkpoint, model)
    config = checkpoint.config()
    assert (config.model_type, config.tie_word_embeddings) == (family, tied)
    assert (config.rope_parameters["rope_theta"], config.max_position_embeddings) == (20000.0, 512)
    assert config.rms_norm_eps == pytest.approx(1e-5)


def test_bfloat16_is_the_nearest_of_it(write_gguf):
    path, model = write_gguf("qwen2", "Q4_1")
    checkpoint = imported(path, dtype=torch.bfloat16)
    assert checkpoint.config().dtype == torch.bfloat16
    assert_same_values(checkpoint, model)


def test_parts_are_the_whole(write_gguf):
    path, model = write_gguf()
    data = path.read_bytes()
    parts = [path.with_name(f"part{i}.bin") for i in (1, 2, 10)]
    for part, (start, end) in zip(parts, [(0, 999), (999, 70_001), (70_001, len(data))], strict=True):
        part.write_bytes(data[start:end])
    assert_same(imported(*parts), model)
    assert not list(path.parent.glob("**/whole.gguf"))


def test_whoever_may_read_the_config_may_read_the_weights(write_gguf):
    folder = Path(imported(write_gguf().path).path)
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def test_large_weights_are_written_in_shards(write_gguf, monkeypatch):
    monkeypatch.setattr(shards, "SHARD", "1MB")
    path, model = write_gguf()
    checkpoint = imported(path)
    assert len(list(Path(checkpoint.path).glob("model-*-of-*.safetensors"))) > 2
    assert_same(checkpoint, model)


def test_a_shard_that_differs_on_the_disk_is_refused(write_gguf, monkeypatch):
    def torn(tensors, path, metadata):
        tensors["lm_head.weight"] = tensors["lm_head.weight"].roll(1, dims=0)
        save(tensors, path, metadata)

    save = shards.save_file
    monkeypatch.setattr(shards, "save_file", torn)
    with pytest.raises(OSError, match=r"lm_head\.weight on the disk differs from output\.weight"):
        imported(write_gguf().path)


def test_ends_are_those_that_a_chat_may_end_with(write_gguf):
    """The GGUF names <|im_end|> alone; Qwen2.5's own generation config has <|endoftext|> too."""
    checkpoint = imported(write_gguf().path)
    assert eos_ids(checkpoint.load(CPU)) == {260, 262}
    written = json.loads((Path(checkpoint.path) / "generation_config.json").read_text())
    assert (written["eos_token_id"], written["bos_token_id"], written["pad_token_id"]) == ([262, 260], 260, 260)


def test_the_chat_template_is_kept(write_gguf):
    tokenizer = imported(write_gguf().path).tokenizer()
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "the 12"}], add_generation_prompt=True, tokenize=False
    )
    assert text == "<|im_start|>user\nthe 12<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert [i for i, token in enumerate(ids) if token in (261, 262)] == [0, 11, 13]
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize(
    ("split", "tokens"),
    [
        ("smollm", ["Ġthe", "Ġ", "1", "2", "e", "Ì", "ģ"]),  # digits one at a time
        ("qwen2", ["Ġthe", "Ġ", "1", "2", "Ã", "©"]),  # and accents composed
        ("gpt-2", ["Ġthe", "Ġ", "12", "e", "Ì", "ģ"]),
    ],
)
def test_text_is_split_as_the_model_was_trained(write_gguf, split, tokens):
    tokenizer = imported(write_gguf(split=split).path).tokenizer()
    assert tokenizer.tokenize(" the 12e\N{COMBINING ACUTE ACCENT}") == tokens


@pytest.mark.parametrize(("add", "ids"), [(True, [260, 258]), (False, [258]), (None, [258])])
def test_a_first_token_is_added_where_the_gguf_says_so(write_gguf, add, ids):
    def more(writer):
        if add is not None:
            writer.add_add_bos_token(add)

    tokenizer = imported(write_gguf(more=more).path).tokenizer()
    assert tokenizer.convert_tokens_to_ids("he") == 258
    assert tokenizer("he").input_ids == ids
    assert tokenizer("he", add_special_tokens=False).input_ids == [258]


def test_a_run_says_where_its_weights_are_from(write_gguf, tmp_path, monkeypatch):
    path, _ = write_gguf()
    checkpoint = imported(path)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"id": "1", "problem": "1 + 1?", "answer": 2}))
    overrides = ["task=math500", f"task.path={tmp_path}/mine.jsonl", "method=full", "max_tokens=2", "device=cpu"]
    model = ["model=smollm2_135m", f"model.path={checkpoint.path}", f"output_dir={tmp_path}/run"]
    monkeypatch.setattr(sys, "argv", ["kvarena", *overrides, *model])
    evaluate.main()
    origin = json.loads((tmp_path / "run/run.json").read_text())["weights_origin"]
    assert origin["files"] == ["tiny.gguf"]
    assert origin["sha256"] == read_origin(Path(checkpoint.path)).sha256
    assert origin["quantisation"] == {"Q8_0": 16, "F32": 5}
    assert (origin["name"], origin["license"], origin["architecture"]) == ("Tiny", "mit", "llama")
    assert (origin["dtype"], origin["num_bytes"]) == ("float32", path.stat().st_size)


def test_what_is_there_is_left(write_gguf):
    path, _ = write_gguf()
    folder = Path(imported(path).path)
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    imported(path)
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
