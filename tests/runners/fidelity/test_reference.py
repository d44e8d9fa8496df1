"""What may be the reference of kvarena-fidelity: a whole run of dense, of the very model that is asked."""

import contextlib
import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from kvarena.runners import evaluate
from kvarena.runners.record import RunFolder
from safetensors.torch import load_file, save_file

REASONER = Path(str(files("kvarena.models") / "reasoner"))
SMALL = ["device=cpu", "engine.batch_size=2", "compression.recent=16", "compression.interval=16", "model.path=mine"]
FORCED = [*SMALL, "reference=dense", "task=graph_search", "output_dir=drift", "method=knorm", "compression.tokens=90"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of dense in the folder `dense`, of a copy of the reasoner in `mine`."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "mine").mkdir()
    for path in REASONER.glob("*.[js]*"):
        (folder / "mine" / path.name).symlink_to(path)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        few = ["difficulty=easy", "num_samples=2", "max_tokens=4", "method=full", "output_dir=dense"]
        patch.setattr(sys, "argv", ["kvarena", *SMALL, *few])
        evaluate.main()
    return folder


@pytest.fixture
def here(place, tmp_path, call):
    """A folder like it, to be changed, in which commands are called."""
    shutil.copytree(place, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


def refusal(call, *overrides):
    code, error = call(evaluate.main_fidelity, *FORCED, *overrides)
    assert (code, error.count("\n")) == (2, 1), error
    assert not Path("drift").exists()
    return error.removeprefix("kvarena: ").strip()


def replace_byte(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.unlink()  # a link
    path.write_bytes(data)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("model-00002-of-00002.safetensors", "weights"), ("config.json", "weights"), ("tokenizer.json", "tokenizer")],
)
def test_another_model_of_this_name_is_refused_by_the_file_that_differs(here, call, name, kind):
    path = here / "mine" / name
    if name.endswith("json"):
        text = path.read_text()
        path.unlink()
        path.write_text(text + " ")
    else:
        replace_byte(path, -1)
    expected = (
        f"reference=dense is of other {kind} ({name}): give the model.path that it was made with, or run dense anew"
    )
    assert refusal(call) == expected
    assert refusal(call, "dry_run=true") == expected


def test_the_same_files_elsewhere_are_the_same_model(here, call):
    (here / "mine").rename(here / "moved")
    assert call(evaluate.main_fidelity, *FORCED, "model.path=moved")[0] == 0


def test_of_an_older_run_the_name_has_to_do(here, call, capsys, monkeypatch):
    edit(here / "dense/run.json", fingerprints={})
    monkeypatch.setattr(sys, "argv", ["kvarena-fidelity", *FORCED])
    evaluate.main_fidelity()
    said = capsys.readouterr().out
    assert "reference=dense: weights, tokenizer not recorded, it goes by the name of its model\n" in said


def test_a_run_of_two_models_is_none(here, call):
    edit(here / "dense/run.json", accepted_changes=[{"kind": "weights", "after": {"model.safetensors": "0" * 64}}])
    assert refusal(call) == (
        "reference=dense went on with other weights (model.safetensors), so two models said it: run dense anew"
    )


def records_edited(folder, **changes):
    path = folder / "dense/records.jsonl"
    lines = [json.dumps(json.loads(line) | changes) + "\n" for line in path.read_text().splitlines()]
    path.write_text("".join(lines))


def test_prompts_that_have_changed_since(here, call):
    records_edited(here, prompt_sha="0" * 12)
    assert "reference=dense answers another prompt of graph_search" in refusal(call)


def test_a_completion_of_nothing(here, call):
    records_edited(here, token_ids=[], stop="error")
    assert "reference=dense has nothing said to graph_search" in refusal(call)


def test_a_run_that_was_forced_itself(here, call):
    assert call(evaluate.main_fidelity, *FORCED, "method=full", "output_dir=forced")[0] == 0
    assert refusal(call, "reference=forced") == (
        "reference=forced was forced itself: give the run of kvarena whose completions these are"
    )


@pytest.mark.parametrize(
    ("run", "says"),
    [
        ("{}", "lacks labels.task"),
        ("[]", "holds no run, but list"),
        ("{", "is not JSON"),
    ],
)
def test_a_run_json_that_is_none(here, call, run, says):
    (here / "dense/run.json").write_text(run)
    assert says in refusal(call)


def test_dense_is_made_anew_when_the_weights_have_changed(here, call):
    """In one process, as the combinations of a sweep: of texts of a file nothing says who said them."""
    text = {"id": "a", "prompt_ids": list(range(3, 40)), "completion_ids": [5, 6, 7, 8]}
    (here / "mine.jsonl").write_text(json.dumps(text) + "\n")
    words = [*SMALL, "texts=mine.jsonl", "method=knorm", "compression.tokens=2000"]
    assert call(evaluate.main_fidelity, *words, "output_dir=before")[0] == 0
    path = here / "mine/model-00002-of-00002.safetensors"
    tensors = {name: tensor * 1.5 for name, tensor in load_file(path).items()}
    path.unlink()  # a link
    save_file(tensors, path, metadata={"format": "pt"})
    assert call(evaluate.main_fidelity, *words, "output_dir=after")[0] == 0
    (record,) = RunFolder(path=here / "after").records()
    assert set(record.kl) == {0.0}


def test_dense_in_a_packed_cache(here, call):
    path = here / "dense/run.json"
    edit(path, labels=json.loads(path.read_text())["labels"] | {"cache": "int8"})
    assert refusal(call) == "reference=dense is a run of method=full + int8: fidelity is measured against full"


def test_a_run_json_without_its_extent(here, call):
    path = here / "dense/run.json"
    run = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in run.items() if name != "num_samples"}))
    assert "dense/run.json lacks num_samples: run dense anew" in refusal(call)


def test_texts_are_forced_in_the_dtype_that_said_them_or_in_the_one_that_is_typed(here, call):
    path = here / "dense/run.json"
    config = json.loads(path.read_text())["config"]
    edit(path, config=config | {"model": config["model"] | {"dtype": "bfloat16"}})
    said = "reference=dense was said in bfloat16, and model.dtype is float32: give model.dtype=bfloat16, or "
    assert refusal(call).startswith(said)
    for words in ("model.dtype=float32", "++model.dtype=float32"):
        assert call(evaluate.main_fidelity, *FORCED, words)[0] == 0


@pytest.mark.parametrize("name", ["dense/records.jsonl", "."])
def test_no_run_at_all(here, call, name):
    assert f"reference={name}: no run.json there" in refusal(call, f"reference={name}")


@pytest.mark.parametrize("value", ["3", "", "[]"])
def test_no_name_of_a_run(here, call, value):
    assert refusal(call, f"reference={value}").startswith(f"reference={value}: use ")
    assert refusal(call, "reference=null", f"texts={value}").startswith(f"texts={value}: use ")


def test_what_a_sampler_penalises_is_no_drift(here, call):
    run = json.loads((here / "dense/run.json").read_text())
    run["config"]["sampler"]["repetition_penalty"] = 1.5
    (here / "dense/run.json").write_text(json.dumps(run))
    assert call(evaluate.main_fidelity, *FORCED, "compression.tokens=2000")[0] == 0
    records = RunFolder(path=here / "drift").records()
    assert [set(record.kl) for record in records] == [{0.0}, {0.0}]
