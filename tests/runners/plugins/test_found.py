"""A package of somebody else brings a method, a task and a grader, and none of it is edited here."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from kvarena.runners import evaluate, grade
from kvarena.runners.plugins import start
from kvarena.runners.record import RunFolder

spec = spec_from_file_location("outside", Path(__file__).parents[2] / "outside.py")
outside = module_from_spec(spec)
spec.loader.exec_module(outside)
NAME = "theirs"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Its folder, as installed; forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    site = tmp_path / "site"
    outside.write_package(site, NAME)
    monkeypatch.syspath_prepend(site)
    yield site / NAME
    for module in [module for module in sys.modules if module.partition(".")[0] == NAME]:
        del sys.modules[module]


@pytest.fixture
def call(monkeypatch, capsys, standin):
    """call(*overrides): exit status, stdout and stderr of a run of two draws of its questions, 24 tokens each."""
    small = [f"method={NAME}", f"task={NAME}", "compression.tokens=24", "device=cpu", "output_dir=run"]
    model = ["model=qwen3_4b", f"model.path={standin}", "model.dtype=float32"]

    def run(*overrides, flags=(), command="kvarena"):
        words = [*flags, *small, *model, *overrides] if command == "kvarena" else overrides
        monkeypatch.setattr(sys, "argv", [command, *words])
        try:
            status = evaluate.main() if command == "kvarena" else start.main()
        except SystemExit as stop:
            status = stop.code
        return status or 0, *capsys.readouterr()

    return run


def test_what_it_brings_runs(package, call, capsys):
    assert call()[0] == 0
    run = RunFolder(path=Path("run"))
    header, records = run.run(), run.records()
    assert (header["labels"]["method"], header["labels"]["task"], header["num_samples"]) == (NAME, NAME, 2)
    assert [(record.sample, record.target, record.score) for record in records] == [
        ("one", "2", 1.0),
        ("two", "3", 1.0),
    ]
    assert any(record.num_evictions for record in records)
    assert {f"{NAME}.parity", f"{NAME}.settings"} <= header["fingerprints"]["code"].keys()
    assert grade.main(["run", f"grader={NAME}_strict"]) == 0
    assert "2 x right -> wrong" in capsys.readouterr().out


def test_a_change_of_its_method_is_a_change(package, call):
    assert call()[0] == 0
    (package / "settings.py").write_text("SIGN = -1\n")
    status, _, error = call()
    assert status == 2
    assert f"code changed since this run began ({NAME}.settings)" in error


def test_it_is_listed(package, call):
    assert f"\n{NAME} " in call("list", "tasks", command="list")[1]
    (line,) = [each for each in call("list", "methods", command="list")[1].splitlines() if each.startswith(NAME)]
    assert line.split(maxsplit=1)[1] == "Parity: tokens at even positions go first. An example"


def test_a_sweep_takes_it_beside_ours(package, call, monkeypatch):
    status, out, _ = call(
        f"method={NAME},knorm", "output_dir=null", "method.budget.recent=8", "dry_run=true", flags=["-m"]
    )
    assert status == 0, out
    assert "sweep of 2: 2 planned" in out


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("conf/__init__.py", "import nowhere_at_all", "cannot be imported (ModuleNotFoundError: No module named"),
        (
            "__init__.py",
            "raise RuntimeError('not on a Tuesday')",
            "cannot be imported (RuntimeError: not on",
        ),
        ("conf/method/snapkv.yaml", "", "method/snapkv.yaml is in kvarena.conf already, give it another name"),
        ("../theirs-1.0.dist-info/entry_points.txt", "[kvarena.plugins]\ntheirs = theirs.short", "is no package"),
        ("../theirs-1.0.dist-info/entry_points.txt", "[kvarena.plugins]\ntheirs = theirs.bare", "holds no GROUP/NAME"),
    ],
    ids=["a package is missing", "raises", "a name of ours", "a module", "without configs"],
)
def test_a_broken_one_is_named_in_a_line(package, call, file, text, said):
    (package / "bare").mkdir()
    (package / "bare/__init__.py").touch()
    (package / file).write_text(text)
    for command in ("kvarena", "list"):
        status, out, error = call(*(["list", "models"] if command == "list" else []), command=command)
        assert (status, out) == (2, "")
        assert error.startswith(f"kvarena: package {NAME}, entry point kvarena.plugins: {NAME} = {NAME}.")
        assert said in error
        assert error.count("\n") == 1
    assert not Path("run").exists()


def test_a_folder_of_configs_does_without_a_package(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/method").mkdir(parents=True)
    text = "_target_: kvarena.methods.full.Full\n"
    (tmp_path / "conf/method/dense_again.yaml").write_text(text)
    (tmp_path / "mine.jsonl").write_text('{"question": "What is 1 + 1?", "answer": 2}\n')
    asked = ["method=dense_again", "task=local", "task.path=mine.jsonl", "max_tokens=8", "num_draws=1"]
    assert call(*asked, flags=["--config-dir=conf"])[0] == 0
    assert RunFolder(path=Path("run")).run()["labels"]["method"] == "dense_again"


def test_a_file_of_no_package_is_refused(package, call):
    for path, said in (("pkg://nowhere/a.jsonl", "there is no package 'nowhere'"), ("pkg://theirs/no", "no such file")):
        status, _, error = call(f"task.path={path}")
        assert (status, error.count("\n")) == (2, 1)
        assert f"task.path={path}: {said}" in error
