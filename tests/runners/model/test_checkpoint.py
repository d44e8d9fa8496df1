"""A checkpoint is read as it was written, or refused in one line that names what is wrong with it."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from kvarena.runners import evaluate
from kvarena.runners.model import Checkpoint
from safetensors.torch import load_file, save_file
from transformers.utils import logging

CPU = torch.device("cpu")
Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


@pytest.fixture
def folder(tiny_model, tmp_path) -> Path:
    tiny_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def load(folder: Path) -> torch.nn.Module:
    return Checkpoint(name="tiny", path=str(folder), dtype="float32").load(CPU)


def rewrite(folder: Path, **config) -> None:
    """Other entries in config.json; None: without it."""
    file = folder / "config.json"
    written = json.loads(file.read_text()) | config
    file.write_text(json.dumps({key: value for key, value in written.items() if value is not None}))


def change(folder: Path, *without: str, **tensors: torch.Tensor) -> None:
    file = folder / "model.safetensors"
    held = load_file(file) | {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({name: held[name] for name in held if name not in without}, file, {"format": "pt"})


def test_it_is_read_as_it_was_written(folder, model):
    checkpoint = Checkpoint(name="tiny", path=str(folder), dtype="float32")
    assert checkpoint.config().num_hidden_layers == 3
    loaded = checkpoint.load(CPU)
    assert not loaded.training
    for one, other in zip(loaded.parameters(), model.parameters(), strict=True):
        assert torch.equal(one, other)
    half = Checkpoint(name="tiny", path=str(folder)).load(CPU)
    assert next(half.parameters()).dtype == torch.bfloat16


def test_tied_weights_and_frequencies_of_old_checkpoints_are_no_fault(tiny_model, tmp_path):
    tiny_model("llama").save_pretrained(tmp_path)
    change(tmp_path, "lm_head.weight", model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(8))
    rewrite(tmp_path, tie_word_embeddings=True)
    loaded = load(tmp_path)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("break_it", "named"),
    [
        (lambda folder: change(folder, Q_PROJ), f"missing: {Q_PROJ}"),
        (
            lambda folder: change(folder, model__layers__0__self_attn__q_proj__bias=torch.ones(64)),
            r"unexpected: model\.layers\.0\.self_attn\.q_proj\.bias",
        ),
        (
            lambda folder: change(folder, model__norm__weight=torch.ones(8)),
            r"misshapen: model\.norm\.weight \[8\] instead of \[64\]",
        ),
        (
            lambda folder: rewrite(folder, num_hidden_layers=2, layer_types=None),
            r"unexpected: model\.layers\.2\.input_layernorm\.weight, .* and 8 more",
        ),
        (lambda folder: rewrite(folder, num_hidden_layers=4, layer_types=None), r"missing: model\.layers\.3\."),
        (lambda folder: rewrite(folder, num_hidden_layers=4), r"`num_hidden_layers` \(4\) must be equal"),
        (lambda folder: rewrite(folder, model_type="llama"), r"unexpected: model\.layers\.0\.self_attn\.k_norm"),
        (lambda folder: rewrite(folder, model_type="gpt2"), r"missing: .* and \d+ more; unexpected: model\.embed"),
        (lambda folder: rewrite(folder, model_type="vit"), r"cannot be read \(Unrecognized configuration class"),
        (lambda folder: os.truncate(folder / "model.safetensors", 9000), r"model\.safetensors is not whole"),
        (lambda folder: os.truncate(folder / "model.safetensors", 0), r"model\.safetensors is not whole"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"cannot be read \(Error no file named"),
        (lambda folder: (folder / "config.json").write_text("{"), r"cannot be read \(.*not a valid JSON"),
    ],
    ids=[
        "missing",
        "unexpected",
        "misshapen",
        "fewer_layers",
        "more_layers",
        "layer_types",
        "another_family",
        "a_far_family",
        "no_causal_lm",
        "truncated",
        "empty",
        "no_weights",
        "config",
    ],
)
def test_what_is_not_the_model_of_its_config_is_refused(folder, break_it, named):
    break_it(folder)
    with pytest.raises(ValueError, match=named) as refused:
        load(folder)
    assert str(refused.value).startswith(f"model.path={folder}: ")
    assert "\n" not in str(refused.value)


def test_transformers_says_as_much_after_a_load_as_before(folder):
    logging.set_verbosity_info()
    try:
        load(folder)
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()


def test_a_folder_without_a_tokenizer_is_refused(standin, tmp_path):
    shutil.copytree(standin, tmp_path / "model")
    checkpoint = Checkpoint(name="tiny", path=str(tmp_path / "model"))
    assert len(checkpoint.tokenizer()) > 1000
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).unlink()
    with pytest.raises(ValueError, match="no tokenizer there"):
        checkpoint.tokenizer()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        Checkpoint(name="tiny", path=str(tmp_path / "missing")).config()


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match=r"model\.dtype=int8"):
        Checkpoint(name="tiny", dtype="int8")


def test_the_command_ends_with_one_line_and_leaves_nothing(standin, tmp_path, monkeypatch, capfd):
    shutil.copytree(standin, tmp_path / "model")
    rewrite(tmp_path / "model", num_hidden_layers=1, layer_types=None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"id": "0", "problem": "1 + 1?", "answer": 2}))
    model = ["model.path=model", "device=cpu", "max_tokens=8", "method=full"]
    monkeypatch.setattr("sys.argv", ["kvarena", "task=aime25", "task.path=mine.jsonl", "output_dir=run", *model])
    with pytest.raises(SystemExit) as exit:
        evaluate.main()
    assert exit.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("kvarena: model.path=model: the weights are not those of its config.json, unexpected: ")
    assert sorted(path.name for path in (tmp_path / "run").glob("*")) in ([], ["lock"])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (dict(quantization_config=dict(quant_method="bitsandbytes", load_in_4bit=True)), "requires accelerate"),
        (dict(quantization_config=dict(quant_method="gptq", bits=4)), "GPTQ"),
        (dict(quantization_config={}), "no `quant_method`"),
        (dict(num_attention_heads=0), "ZeroDivisionError"),
        (dict(hidden_act="none"), "KeyError 'none'"),
        (dict(model_type="t5", num_heads=2, d_kv=8), "Unrecognized configuration class"),
        (dict(model_type="mine", auto_map={"AutoConfig": "code.Mine"}), "contains custom code"),
    ],
    ids=["bitsandbytes", "gptq", "quantised_somehow", "no_heads", "activation", "t5", "custom_code"],
)
def test_what_transformers_does_not_read_here_is_refused(folder, config, reason):
    """And code of a folder is neither run nor asked about."""
    rewrite(folder, **config)
    with pytest.raises(ValueError, match=reason) as error:
        load(folder)
    said = str(error.value)
    assert said.startswith(f"model.path={folder}: cannot be read (")
    assert "\n" not in said
    assert len(said) < 500
