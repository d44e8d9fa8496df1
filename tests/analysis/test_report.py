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
    csv, markdown = runs_dir / "report/results.csv", runs_dir / "report/table.md"
    assert out.splitlines()[-1] == f"wrote {csv} and {markdown}"
    assert "| snapkv |" in markdown.read_text()


def test_the_csv(runs_dir):
    main([str(runs_dir)])
    header, full, snapkv = (runs_dir / "report/results.csv").read_text().splitlines()
    assert header.startswith("task,difficulty,model,method,ratio,tokens,samples,draws,accuracy,accuracy_low,")
    assert header.endswith(",tokens_per_s,complete,note,run")
    assert full.startswith("graph_search,hard,reasoner,full,1.0,,2,1,0.5,0.0,1.0,")
    assert full.endswith(",1000,,True,,full")
    assert snapkv.startswith("graph_search,hard,reasoner,snapkv,4.0,128,2,1,1.0,1.0,1.0,")
    assert snapkv.endswith(",1000,50.0,False,never evicted; incomplete 1/2,snapkv")


def test_twice_is_the_same(runs_dir):
    main([str(runs_dir)])
    first = (runs_dir / "report/results.csv").read_bytes()
    main([str(runs_dir)])
    assert (runs_dir / "report/results.csv").read_bytes() == first


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
