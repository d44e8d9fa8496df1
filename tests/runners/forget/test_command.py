"""kvarena-forget, on the reasoner."""

import csv
import json
import sys

import pytest
from kvarena.runners.forget import command

MODEL = ("difficulty=easy", "device=cpu", "engine.batch_size=2", "model.dtype=float32")
OF_RUN = ("reference=dense", "device=cpu", "engine.batch_size=2", "model.dtype=float32")


@pytest.fixture(scope="module")
def recorded(runs_in):
    return runs_in("forget", [*MODEL, "method=full", "num_samples=2", "max_tokens=90", "output_dir=dense"])


@pytest.fixture
def forget(recorded, monkeypatch, capsys):
    """forget(words): exit code, and what it printed."""
    monkeypatch.chdir(recorded)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["kvarena-forget", *OF_RUN, "task=graph_search", *words])
        try:
            command.main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return run


def table(folder):
    return list(csv.DictReader((folder / "out/forget.csv").open()))


def test_a_wrong_step_is_forgotten_by_exact_recompute(forget, recorded):
    code, said = forget("output_dir=out", "after=[16,32]", "span=wrong_step", "span.tokens=12", "span.place=24")
    assert code == 0, said.err
    rows = table(recorded)
    assert {(row["span"], row["sample"], row["eraser"]) for row in rows} == {
        ("wrong_step", row["sample"], name)
        for row in rows
        for name in ("drop", "drop_shift", "recompute_16", "recompute_64", "exact", "exact_shift")
    }
    assert len({row["sample"] for row in rows}) == 2
    assert {row["since"] for row in rows} == {"0", "16"}
    assert all(abs(float(row["kl_erased"])) < 1e-4 for row in rows if row["eraser"].startswith("exact"))
    assert sum(float(row["kl_dense"]) for row in rows if row["eraser"] == "drop") > 1e-2
    header = json.loads((recorded / "out/forget.json").read_text())
    assert header["config"]["after"] == [16, 32]
    assert header["fingerprints"]["weights"]
    assert "eraser=exact " in said.out


def test_what_a_method_evicted(forget, recorded):
    code, said = forget("output_dir=out", "method=random", "compression.tokens=60", "after=[48]")
    assert code == 0, said.err
    rows = table(recorded)
    assert {(row["method"], row["of"]) for row in rows} == {("random", "all"), ("random", "prompt")}
    assert all(0 < float(row["gone"]) < 1 for row in rows)


def test_a_method_in_a_packed_cache_is_another(forget, recorded):
    words = ["method=random", "cache=fp8", "compression.tokens=60", "after=[48]", "num_samples=1"]
    code, said = forget("output_dir=out", *words)
    assert code == 0, said.err
    assert {row["method"] for row in table(recorded)} == {"random + fp8"}


def test_by_layer(forget, recorded):
    code, said = forget("output_dir=out", "by_layer=true", "num_samples=1")
    assert code == 0, said.err
    rows = [row for row in table(recorded) if row["since"] == "0"]
    assert len(rows) == 9 + 7  # of 8 layers the first none to all, and each alone but the first
    assert rows[0]["kl_erased"] == rows[0]["kl_dense"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["span=prompt", "span.start=70", "span.end=400"], "give a span inside it"),
        (["span=prompt", "span.start=60", "span.end=74", "after=[3]", "recent=24"], "overlap the recent window of 24"),
        (["after=[5000]"], "no text goes on 16 tokens behind the cut"),
        (["after=[-1]"], "after"),
        (["erasers.drop.recompute=-2"], "recompute=-2"),
        (["span.separator=?"], "use another separator or span"),
        (["method=quest"], "method=quest evicts nothing"),
        (["method=random", "span=distractor"], "span=distractor beside method=random"),
        (["method=random", "compression.tokens=400"], "nothing was evicted before any cut"),
        (["reference=nowhere"], "no run.json there"),
        (["span=prompt"], "span.start"),
        (["share.of=2"], "share.index=0 share.of=2: only a sweep (-m) has shares, leave them out"),
        (["num_workers=2", "workers=ray"], "num_workers=2: kvarena-forget makes nothing of it, leave it out"),
    ],
)
def test_what_is_wrong_is_one_line(forget, words, said):
    code, printed = forget("output_dir=wrong", *words)
    assert code == 2
    assert printed.err.startswith("kvarena: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_two_processes_share_a_sweep(forget):
    sweep = ("hydra.mode=MULTIRUN", "dry_run=true", "after=[16]", "span=clause,distractor", "share.of=2")
    for index in (0, 1):
        code, said = forget(*sweep, f"share.index={index}", "output_dir=dry-${hydra:runtime.choices.span}")
        assert (code, said.err) == (0, "")
        assert said.out == f"dry-{('clause', 'distractor')[index]}: 2 of 2 texts and cuts are long enough\n"
    assert forget(*sweep, "share.index=2")[0] == 2


def test_a_dry_run_leaves_nothing(forget, recorded):
    code, said = forget("output_dir=dry", "dry_run=true", "after=[16]")
    assert (code, said.out.splitlines()[-1]) == (0, "dry: 2 of 2 texts and cuts are long enough")
    assert not (recorded / "dry").exists()
