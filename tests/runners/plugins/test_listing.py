import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from kvarena.runners.plugins import start
from kvarena.runners.plugins.listing import answer

CONF = Path(__file__).parents[3] / "conf"


@pytest.mark.parametrize(
    ("what", "group", "lines"),
    [
        (
            "methods",
            "method",
            [
                "full  Full: the dense cache, the reference of every comparison",
                "curdkv  CurDKV: keep tokens of large key and value leverage (as its authors published it)",
            ],
        ),
        (
            "tasks",
            "task",
            ["gsm8k  GSM8K, the 1,319 test problems; at ratio 4 the budget is the 512 tokens of VaSE's pilot study"],
        ),
        ("models", "model", ["qwen3_4b  Qwen/Qwen3-4B", "reasoner  the small Qwen3 that ships with kvarena"]),
    ],
)
def test_a_line_for_each(what, group, lines):
    said = ["  ".join(line.split(maxsplit=1)) for line in answer(["list", what]).split("\n")]
    assert [line.split()[0] for line in said] == sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert set(lines) <= set(said)


def test_other_words_are_those_of_hydra():
    assert answer([]) is None
    assert answer(["method=full", "--version"]) is None
    assert answer(["--version"]) == f"kvarena {version('kvarena')}"


def kvarena(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["kvarena", *words])
    start.main()


@pytest.mark.parametrize("words", [("list",), ("list", "graders"), ("list", "tasks", "methods")], ids=" ".join)
def test_what_is_not_listed_is_refused_in_a_line(monkeypatch, capsys, words):
    with pytest.raises(SystemExit) as stop:
        kvarena(monkeypatch, *words)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"kvarena: kvarena {' '.join(words)}: use kvarena list methods|tasks|models\n"


def test_help_names_both(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        kvarena(monkeypatch, "--help")
    said = capsys.readouterr().out
    assert "kvarena list methods|tasks|models" in said
    assert "kvarena --version" in said
    kvarena(monkeypatch, "--version")
    assert capsys.readouterr().out == f"kvarena {version('kvarena')}\n"


def unread(monkeypatch, *words):
    """Call it with a stdout that whoever read it has closed."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe, monkeypatch.context() as within:
        within.setattr(sys, "stdout", pipe)
        try:
            kvarena(within, *words)
            return 0
        except SystemExit as stop:
            return stop.code or 0
        finally:
            pipe.write("what is left")


@pytest.mark.parametrize("words", [("list", "methods"), ("--help",), ("--cfg", "job")], ids=" ".join)
def test_what_nobody_reads_ends_without_a_word(monkeypatch, capfd, words):
    assert unread(monkeypatch, *words) == 0
    assert capfd.readouterr() == ("", "")


def test_a_run_that_nobody_reads_ends_as_a_signal_would_end_it(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert unread(monkeypatch, "dry_run=true", "device=cpu") == 141
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_said_without_torch():
    said = (
        "import sys; from kvarena.runners.plugins import start; sys.argv = ['kvarena', 'list', 'methods']; start.main()"
    )
    heavy = f"{said}; sys.exit(str({{'torch', 'numpy', 'hydra'}} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True)
    assert run.stderr == "set()\n"


def test_a_shell_completes_a_method(monkeypatch, capsys):
    line = "kvarena method=vase_d"
    for name, value in {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_WORDBREAKS": ""}.items():
        monkeypatch.setitem(os.environ, name, value)
    kvarena(monkeypatch, "--shell-completion", "query=bash")
    assert capsys.readouterr().out.split() == ["method=vase_dkv"]
