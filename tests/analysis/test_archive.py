import shutil
from dataclasses import replace

import pytest
from kvarena.analysis import archive
from kvarena.analysis.archive import pack, slimmed
from kvarena.analysis.fidelity import drift_table
from kvarena.analysis.load import load
from kvarena.analysis.report import main
from kvarena.analysis.tables import results
from kvarena.runners.record import read_questions, write_questions


@pytest.fixture
def runs(write, record, dense):
    """Two runs, one of them with a loop and nothing computed of it yet."""
    looping = record(token_ids=[1, 2] * 200, completion="one two " * 200, sample="s1", score=0.0)
    a = write("x/a", [looping, record(completion="größer")], samples=2, sessions=[(1.0, 100)])
    write_questions(a.path, {"s0": "Größer?"})
    write("x/full", [record()], samples=1, **dense)


def unpacked(file, folder):
    shutil.unpack_archive(file, folder)
    return folder


def test_an_archive_makes_the_same_tables(runs, tmp_path):
    pack(load(tmp_path), tmp_path / "runs.tar.xz")
    again = unpacked(tmp_path / "runs.tar.xz", tmp_path / "again")
    before, after = results(load(tmp_path / "x")), results(load(again / "x"))
    assert before["run"].tolist() == ["full", "a"]
    assert after.equals(before)
    assert after["vase_loop_rate"].tolist() == [0.0, 0.5]
    records = list(load(again)[0].records())
    assert [(record.token_ids, record.completion) for record in records] == [([], ""), ([], "")]
    assert read_questions(again / "x/a") == {}


def test_of_forced_texts_the_drift_stays(write, record, tmp_path):
    """Without it there would be no table of them."""
    drift = dict(kl=[0.0, 0.5, 0.25], nll=[0.0, 0.1, -0.2], mass=[0.9, 0.5, 0.7], other=[], pieces=["a", "b", "c"])
    forced = [record(sample=name, num_tokens=3, **drift) for name in ("s0", "s1")]
    write("x/a", forced, samples=2, config={"texts": "texts.jsonl"})
    pack(load(tmp_path), tmp_path / "runs.tar.xz")
    again = unpacked(tmp_path / "runs.tar.xz", tmp_path / "again")
    before, after = drift_table(load(tmp_path / "x")), drift_table(load(again / "x"))
    assert after.equals(before)
    assert after["kl"].tolist() == [0.25]
    assert [one.token_ids for one in load(again)[0].records()] == [[], []]


def test_texts_can_be_kept(runs, tmp_path):
    pack(load(tmp_path), tmp_path / "runs.tar.xz", texts=True)
    again = unpacked(tmp_path / "runs.tar.xz", tmp_path / "again")
    before, after = (sorted(load(folder)[0].records(), key=lambda record: record.key) for folder in (tmp_path, again))
    assert [record.completion for record in after] == ["größer", "one two " * 200]
    assert read_questions(again / "x/a") == {"s0": "Größer?"}
    assert after[0] == replace(load(tmp_path)[0].outcomes[0], completion=before[0].completion)


def test_what_is_said_token_by_token_is_kept_of_forced_texts_alone(record):
    said = record(attention_error=[0.0, 0.5])
    assert slimmed(said, texts=True, forced=False).attention_error is None
    assert slimmed(said, texts=False, forced=True).attention_error == [0.0, 0.5]


def test_the_same_runs_are_the_same_bytes(runs, tmp_path):
    for name in ("a.tar.xz", "b.tar.xz"):
        pack(load(tmp_path), tmp_path / name)
    assert (tmp_path / "a.tar.xz").read_bytes() == (tmp_path / "b.tar.xz").read_bytes()


def test_the_report_packs(runs, tmp_path, capsys):
    file = tmp_path / "sub/runs.tar.xz"
    assert main([str(tmp_path), "--archive", str(file)]) == 0
    assert f"wrote {file}, {file.stat().st_size:,} bytes" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--texts"])
    assert "--texts is for --archive" in capsys.readouterr().err


def test_a_signal_leaves_the_archive_of_before(runs, tmp_path, monkeypatch):
    file = tmp_path / "runs.tar.xz"
    pack(load(tmp_path), file)
    before = file.read_bytes()

    def end(*given):
        raise SystemExit(130)

    monkeypatch.setattr(archive, "slimmed", end)
    with pytest.raises(SystemExit):
        pack(load(tmp_path), file)
    assert file.read_bytes() == before
    assert not [*tmp_path.glob("*.tmp")]
