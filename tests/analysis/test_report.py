import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from kvarena.analysis.report import main


@pytest.fixture
def runs_dir(write, tmp_path, record, dense):
    write("full", [record(num_evictions=0), record(sample="s1", score=0.0)], samples=2, **dense)
    write("snapkv", [record(num_evictions=0)], samples=2, sessions=[(2.0, 100)])
    return tmp_path


def test_the_report_is_printed_and_written(runs_dir, capsys):
    assert main([str(runs_dir)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "never evicted; incomplete 1/2" in out
    files = "results.csv, pairs.csv, published.csv, table.md, table.tex"
    page = runs_dir / "report/index.html"
    assert out.splitlines()[-1] == f"wrote {page}, and beside it {files} and figures/"
    assert page.is_file()
    assert all((runs_dir / "report" / name).is_file() for name in files.split(", "))
    assert "| snapkv |" in (runs_dir / "report/table.md").read_text()
    assert (runs_dir / "report/figures/accuracy_ratio.svg").is_file()


def test_a_reader_that_stops_reading_is_no_error(runs_dir):
    command = [sys.executable, "-m", "kvarena.analysis.report", str(runs_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["full/records.jsonl"], "full/records.jsonl is a file of a run: give its folder, full"),
        (["--verify", "full/run.json"], "full/run.json is a file of a run: give its folder, full"),
        (["--compare", "full", "full/run.json"], "full/run.json is a file of a run: give its folder, full"),
        (["--leaderboard", "full/records.jsonl"], "full/records.jsonl is a file of a run: give its folder, full"),
        (["torn"], "torn/records.jsonl is a folder, and has to be a file: move the run away"),
        (["full", "--output", "notes.txt"], "--output=notes.txt is a file, or below one: give a folder"),
        (
            ["full", "--archive", "torn"],
            "--archive=torn is a folder: name the file to write",
        ),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_is_no_folder_or_no_file_is_one_line(words, says, runs_dir, monkeypatch, capsys):
    monkeypatch.chdir(runs_dir)
    Path("notes.txt").touch()
    Path("torn/records.jsonl").mkdir(parents=True)
    Path("torn/run.json").write_bytes(Path("full/run.json").read_bytes())
    try:
        status = main(words)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr().err.replace("; see kvarena-report --help", "")
    assert (status, said) == (2, f"kvarena-report: {says}\n")


def test_a_broken_trace_is_one_line_that_names_it(runs_dir, capsys):
    (runs_dir / "snapkv/trace").mkdir()
    (runs_dir / "snapkv/trace/s0-0.safetensors").write_bytes(b"no trace")
    assert main([str(runs_dir)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "snapkv/trace/s0-0.safetensors is no trace" in err


def test_a_packed_cache_is_a_method_of_its_own_look(runs_dir, write, record):
    write("packed", [record(num_evictions=0)], samples=2, cache="e4m3")
    assert main([str(runs_dir)]) == 0
    looks = re.search(r'"looks":(\{.*?\}\})', (runs_dir / "report/index.html").read_text())
    assert sorted(json.loads(looks[1])) == ["snapkv", "snapkv + e4m3"]


def test_step_times_are_the_users_own(runs_dir, capsys):
    (runs_dir / "benchmark.csv").write_text("model,ms\na,1\n")
    assert main([str(runs_dir)]) == 2
    assert "benchmark.csv is not of kvarena-benchmark, it has no batch, copy_gb_per_s" in capsys.readouterr().err
    names = "model,method,batch,position,ms,weight_bytes,kv_bytes,copy_gb_per_s"
    (runs_dir / "benchmark.csv").write_text(f"{names}\nqwen3_14b,full,16,4096,20,28e9,10.9e9,3020\n")
    assert main([str(runs_dir)]) == 0
    assert "full, 16 x 4,096" in (runs_dir / "report/figures/step_time.svg").read_text()


def test_the_csv(runs_dir):
    main([str(runs_dir)])
    header, full, snapkv = (runs_dir / "report/results.csv").read_text().splitlines()
    assert header.startswith("task,difficulty,model,method,ratio,tokens,samples,draws,accuracy,accuracy_low,")
    assert header.endswith(",fixed_tokens,complete,note,run,dense")
    assert full.startswith("graph_search,hard,reasoner,full,1.0,,2,1,0.5,0.094299324050246")
    assert full.endswith(",False,True,,full,full")
    assert snapkv.startswith("graph_search,hard,reasoner,snapkv,4.0,128,2,1,1.0,0.158")
    assert snapkv.endswith(",50.0,,2000.0,False,False,never evicted; incomplete 1/2,snapkv,full")


def test_twice_is_the_same(runs_dir):
    main([str(runs_dir)])
    names = ["results.csv", "pairs.csv", "table.tex", "index.html", "figures/accuracy_ratio.svg", "texts/1/0.js"]
    first = [(runs_dir / "report" / name).read_bytes() for name in names]
    main([str(runs_dir)])
    assert [(runs_dir / "report" / name).read_bytes() for name in names] == first


def test_output(runs_dir, tmp_path):
    assert main([str(runs_dir), "--output", str(tmp_path / "else/where")]) == 0
    assert len(pd.read_csv(tmp_path / "else/where/results.csv")) == 2
    assert not (runs_dir / "report").exists()


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_folder_and_no_runs_are_one_line_and_status_2(tmp_path, capsys, name):
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert name in err
    assert not (tmp_path / name / "report").exists()


def test_an_output_that_is_a_file_is_status_2(runs_dir, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(runs_dir), "--output", str(tmp_path / "file")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["runs", "--compare", "a", "b"]], ids=["nothing", "both"])
def test_a_folder_or_two_runs(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "give RUNS_DIR, --compare A B, or --leaderboard RUNS..." in capsys.readouterr().err


def test_compare(runs_dir, capsys):
    assert main(["--compare", str(runs_dir / "full"), str(runs_dir / "snapkv")]) == 0
    assert "pass@1, 1 problems in common (A has 2, B has 1)" in capsys.readouterr().out
    assert not (runs_dir / "report").exists()


def broken(name, write, record, dense):
    """Runs of which something is missing."""
    if name == "begun":
        write("a", [], samples=8)
    elif name == "ungraded":
        write("a", [record(score=None)], samples=1)
    elif name == "nan":
        write("full", [record(score=float("nan"))], samples=1, **dense)
        write("a", [record(score=float("nan"), resident_bytes=0, num_tokens=0, token_ids=[], completion="")], samples=1)
    elif name == "errors":
        write("a", [record(score=None, stop="error", num_tokens=0, token_ids=[], completion="", target="")], samples=1)
    elif name == "one_task_only":
        write("full", [record()], samples=1, **dense)
        write("a", [record()], samples=1)
        write("b", [record()], samples=1, task="aime25", difficulty=None)
    elif name == "other_problems":
        write("full", [record(sample="x")], samples=1, **dense)
        write("a", [record(sample="y")], samples=2)
    elif name == "dense_alone":
        write("full", [record()], samples=1, **dense)


CASES = ["begun", "ungraded", "nan", "errors", "one_task_only", "other_problems", "dense_alone"]


@pytest.mark.parametrize("name", CASES)
def test_a_report_comes_out_all_the_same(name, write, tmp_path, record, dense, capsys):
    broken(name, write, record, dense)
    assert main([str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (tmp_path / "report/index.html").is_file()
    assert "nan" not in out.lower().replace("nano", "")
