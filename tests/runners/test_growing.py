"""A run goes on under a command that wants more or less of it, and stops where something else has changed."""

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from kvarena.runners.evaluate import main
from kvarena.runners.job import identity as rule
from kvarena.runners.record import Record, RunFolder

REASONER = Path(str(files("kvarena.models") / "reasoner"))
SMALL = ["difficulty=easy", "max_tokens=4", "engine.batch_size=2", "device=cpu", "compression.tokens=40"]
METHOD = """
from kvarena.methods.snapkv import SnapKV

class Mine(SnapKV):
    sign = 1
    def score(self, view):
        return self.sign * super().score(view)
"""


@pytest.fixture
def kvarena(monkeypatch, tmp_path, capsys):
    """kvarena(*overrides): exit status and all that was printed, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str, flags: tuple[str, ...] = ()) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kvarena", *flags, *SMALL, *overrides])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


@pytest.fixture
def run_of(tmp_path):
    """run_of(name): its run.json and records by key."""

    def read(name: str = "run") -> tuple[dict, dict[tuple[str, int], Record]]:
        folder = RunFolder(path=tmp_path / name)
        return folder.run(), {record.key: record for record in folder.records()}

    return read


def write_samples(path: Path, *names: str, target: str = "1 2") -> None:
    same = {"target": target, "meta": {"start": 1, "goal": 2, "edges": [[1, 2]]}}
    rows = [{"id": name, "question": f"path from 1 to {name} in 2 : 1 : 2 ; 2 : 1"} | same for name in names]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_more_samples_and_draws_and_another_batch_go_on_with_the_same_records(kvarena, run_of, tmp_path):
    run = ["method=random", "runs_dir=runs"]
    assert kvarena(*run, "num_samples=2")[0] == 0
    (folder,) = tmp_path.glob("runs/*/*/*")
    first, few = run_of(folder)
    status, out = kvarena(*run, "num_samples=3", "num_draws=2", "engine.batch_size=3")
    assert (status, "2 of 6 done" in out) == (0, True)
    assert list(tmp_path.glob("runs/*/*/*")) == [folder]
    grown, many = run_of(folder)
    assert {key: many[key] for key in few} == few
    assert len(many) == 6
    assert (grown["num_samples"], grown["num_draws"]) == (3, 2)
    assert (first["num_samples"], first["num_draws"]) == (2, 1)
    assert grown["config"] == first["config"]
    assert grown["data_sha256"] != first["data_sha256"]
    assert [line["batch_sizes"] for line in RunFolder(path=folder).sessions()] == [[2], [3]]


def test_a_run_says_whether_any_of_it_may_have_narrowed(kvarena, run_of):
    """From the first command on that asks for it, whatever later ones ask."""
    run, said = ["method=random", "output_dir=run"], []
    for overrides in (["num_samples=1"], ["num_samples=2", "+engine.narrow=true"], ["num_samples=3"]):
        assert kvarena(*run, *overrides)[0] == 0
        said.append(run_of()[0]["batch_variant"])
    assert said == [False, True, True]


def test_less_of_a_run_is_complete_and_changes_nothing(kvarena, run_of, tmp_path):
    assert kvarena("method=random", "num_samples=3", "num_draws=2", "output_dir=run")[0] == 0
    before = (tmp_path / "run/run.json").read_bytes()
    status, out = kvarena("method=random", "num_samples=1", "output_dir=run")
    assert (status, "1 of 1 done" in out) == (0, True)
    assert (tmp_path / "run/run.json").read_bytes() == before


def test_more_of_one_and_less_of_the_other_keeps_the_larger_of_both(kvarena, run_of):
    assert kvarena("method=random", "num_samples=1", "num_draws=2", "output_dir=run")[0] == 0
    assert kvarena("method=random", "num_samples=2", "num_draws=1", "output_dir=run")[0] == 0
    header, records = run_of()
    assert (header["num_samples"], header["num_draws"], len(records)) == (2, 2, 3)


def test_common_samples_are_compared_by_record(kvarena, run_of, tmp_path):
    """Others may come, go or change as long as nobody has answered them."""
    command = ["method=full", "num_samples=null", "task.path=mine.jsonl", "output_dir=run"]
    write_samples(tmp_path / "mine.jsonl", "1", "2")
    assert kvarena(*command)[0] == 0
    write_samples(tmp_path / "mine.jsonl", "3", "2", "1")
    status, out = kvarena(*command)
    assert (status, "2 of 3 done" in out) == (0, True)
    assert run_of()[0]["num_samples"] == 3
    write_samples(tmp_path / "mine.jsonl", "3", "2", "1", target="2 1")
    status, out = kvarena(*command)
    assert (status, "holds a run of other samples of the same name (" in out) == (2, True)


def test_another_config_is_refused_with_the_key_and_both_values(kvarena):
    command = ["method=full", "num_samples=1", "output_dir=run", "sampler=sampling"]
    assert kvarena(*command)[0] == 0
    status, out = kvarena(*command, "sampler.temperature=0.8")
    assert status == 2
    assert out == (
        "kvarena: output_dir=run holds a run of another config (sampler.temperature: 0.6 there, 0.8 asked): "
        "choose another folder, or delete this one\n"
    )


def test_a_run_json_that_is_not_what_runs_leave_is_one_line(kvarena, run_of, tmp_path):
    command = ["method=full", "num_samples=1", "output_dir=run"]
    assert kvarena(*command)[0] == 0
    header, file = run_of()[0], tmp_path / "run/run.json"

    def answer(**changed: object) -> tuple[int, str]:
        file.write_text(json.dumps({name: value for name, value in (header | changed).items() if value is not None}))
        return kvarena(*command)

    assert answer(config=None) == (2, "kvarena: run/run.json lacks config: move the run away\n")
    status, said = answer(labels={"task": "graph_search"})
    assert status == 2
    assert said.startswith("kvarena: run/run.json lacks labels.difficulty, labels.model")
    assert answer(num_samples="a")[1].startswith("kvarena: run/run.json: num_samples: Input should be a valid integer")
    assert answer(labels=[])[1].startswith("kvarena: run/run.json: labels: Input should be an object")


def test_equal_numbers_are_one_run(kvarena, tmp_path):
    ratios = ("compression.tokens=null", "compression.ratio=2,2.0,4")
    status, out = kvarena("method=snapkv", "num_samples=1", *ratios, flags=("-m",))
    assert status == 0
    assert "sweep of 3: 2 done, 1 skipped" in out
    assert len(list(tmp_path.rglob("run.json"))) == 2


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """mine(text): a method of one's own, in a file beside the command."""

    def write(text: str = METHOD) -> str:
        (tmp_path / "mine.py").write_text(text)
        return "method._target_=mine.Mine"

    monkeypatch.syspath_prepend(tmp_path)
    yield write
    sys.modules.pop("mine", None)


def test_another_method_of_the_same_name_is_refused_until_it_is_accepted(kvarena, run_of, mine):
    command = ["method=snapkv", mine(), "output_dir=run"]
    assert kvarena(*command, "num_samples=1")[0] == 0
    before = run_of()[0]["fingerprints"]["code"]
    assert "kvarena.methods.snapkv" in before
    mine(METHOD.replace("sign = 1", "sign = 1  # survivors are the highest"))
    assert kvarena(*command, "num_samples=2")[0] == 0
    mine(METHOD.replace("sign = 1", "sign = -1"))
    for number in ("num_samples=2", "num_samples=3"):  # what is complete, too
        status, out = kvarena(*command, number)
        assert (status, out.count("\n")) == (2, 1)
        assert "output_dir=run: code changed since this run began (mine): accept_changed=code goes on" in out
    assert kvarena(*command, "num_samples=3", "accept_changed=code")[0] == 0
    header, records = run_of()
    after, (change,) = header["fingerprints"]["code"], header["accepted_changes"]
    assert len(records) == 3
    assert {name for name in before if after[name] != before[name]} == {"mine"}
    assert (change["kind"], change["records"]) == ("code", 2)
    assert (change["before"], change["after"]) == ({"mine": before["mine"]}, {"mine": after["mine"]})
    assert kvarena(*command, "num_samples=4")[0] == 0  # as it was accepted


def test_other_weights_are_refused_by_file(kvarena, run_of, tmp_path):
    shutil.copytree(REASONER, tmp_path / "model")
    command = ["method=full", "model.path=model", "output_dir=run"]
    assert kvarena(*command, "num_samples=1")[0] == 0
    assert set(run_of()[0]["fingerprints"]["weights"]) >= {"config.json", "model.safetensors.index.json"}
    config = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-5}))
    records = (tmp_path / "run/records.jsonl").read_bytes()
    for number in ("num_samples=1", "num_samples=2"):
        status, out = kvarena(*command, number)
        assert status == 2
        assert "output_dir=run: weights changed since this run began (config.json): accept_changed=weights " in out
    assert (tmp_path / "run/records.jsonl").read_bytes() == records
    assert kvarena(*command, "num_samples=2", "accept_changed=[code,weights]")[0] == 0
    assert [change["kind"] for change in run_of()[0]["accepted_changes"]] == ["weights"]


def test_only_what_has_a_fingerprint_can_be_accepted(kvarena):
    status, out = kvarena("accept_changed=prompts", "output_dir=run")
    assert (status, out.count("\n")) == (2, 1)
    assert "kvarena: accept_changed=prompts: use one of weights, tokenizer, code, calibration, or a list" in out


@pytest.fixture
def old(kvarena, run_of, tmp_path):
    """A run of two samples as one of before the second rule: the name of its folder, run.json and records."""
    command = ["method=snapkv", "runs_dir=runs"]
    assert kvarena(*command, "num_samples=2")[0] == 0
    (folder,) = tmp_path.glob("runs/*/*/*")
    run = RunFolder(path=folder).run()
    for name in ("identity_version", "fingerprints"):
        del run[name]
    del run["config"]["accept_changed"]
    run["identity"] = rule.identity(run["labels"], run["config"], version=1)
    (folder / "run.json").write_text(json.dumps(run))
    lines = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    lines = [{key: value for key, value in line.items() if key != "prompt_sha"} for line in lines]
    (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder.rename(folder.with_name(f"snapkv-40-{run['identity'][:6]}"))


def test_an_old_run_is_found_again_and_may_grow(kvarena, run_of, old, tmp_path):
    command, before = ["method=snapkv", "runs_dir=runs"], run_of(old)[0]
    status, out = kvarena(*command, "num_samples=2")
    assert (status, "2 of 2 done" in out) == (0, True)
    status, out = kvarena(*command, "num_samples=3")
    assert (status, "2 of 3 done" in out) == (0, True)
    assert f"{old.relative_to(tmp_path)}: weights, tokenizer, code of its first records: not recorded" in out
    after, records = run_of(old)
    assert list(tmp_path.glob("runs/*/*/*")) == [old]
    assert (len(records), after["num_samples"], after["identity"]) == (3, 3, before["identity"])
    assert "fingerprints" not in after


def test_an_old_run_of_other_samples_is_refused_as_ever(kvarena, old):
    run = json.loads((old / "run.json").read_text())
    sums = {"data_sha256": "samples of the same name", "prompts_sha256": "prompts to the same samples"}
    for key, what in sums.items():
        (old / "run.json").write_text(json.dumps(run | {key: "0"}))
        status, out = kvarena("method=snapkv", "runs_dir=runs", "num_samples=3")
        assert (status, f"holds a run of other {what}" in out) == (2, True)
