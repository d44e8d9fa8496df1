"""The dashboard, against a service that keeps what it is sent as wandb does."""

import importlib.util
import json
from pathlib import Path

import pytest
import wandb
import wandb_workspaces.workspaces as ws

SCRIPT = Path(__file__).parents[2] / "scripts/push_dashboard.py"
LOGGED = {"accuracy", "loop_rate", "truncation_rate", "mean_length", "evictions", "tokens_per_s"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb-workspaces to itself


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("push_dashboard", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_workspace_shows_what_runs_log(script):
    workspace = script.workspace("us", "kvarena")
    assert (workspace.entity, workspace.project) == ("us", "kvarena")
    results, course, rows, _ = workspace.sections
    shown = {str(getattr(metric, "name", metric)) for panel in results.panels for metric in panel.metrics}
    assert shown == LOGGED
    assert [panel.x for panel in course.panels] == ["rows"] * 6
    assert rows.panels[0].table_name == "results"


@pytest.fixture
def service(monkeypatch, tmp_path):
    """A fake of wandb, where the script finds it."""
    spec = importlib.util.spec_from_file_location("fake_wandb", Path(__file__).parent / "fake_wandb.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    fake = module.FakeWandb()
    with module.serving(fake) as address:
        monkeypatch.setenv("WANDB_BASE_URL", address)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("HOME", str(tmp_path))
        yield fake
        wandb.teardown()


def test_what_is_pushed_is_what_is_read_back(script, service, capsys):
    assert script.main(["us", "kvarena"]) == 0
    url = capsys.readouterr().out.strip()
    (view,) = service.views.values()
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("us", "kvarena", "kvarena")
    pushed, back = script.workspace("us", "kvarena"), ws.Workspace.from_url(url)
    assert [section.name for section in back.sections] == [section.name for section in pushed.sections]
    for ours, theirs in zip(pushed.sections, back.sections, strict=True):
        assert [type(panel) for panel in theirs.panels] == [type(panel) for panel in ours.panels]
        assert [getattr(panel, "title", None) for panel in theirs.panels] == [
            getattr(panel, "title", None) for panel in ours.panels
        ]
    kinds = [view["spec"].count(f'"viewType":"{kind}"') for kind in ("Bar Chart", "Run History Line Plot")]
    assert kinds == [6, 6]


def test_what_the_service_refuses_is_one_line(script, service, capsys, monkeypatch):
    def refuse(*_):
        raise ValueError("no such project")

    monkeypatch.setattr(service, "upsert", refuse)
    assert script.main(["us", "kvarena"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no such project" in err


def test_the_report_is_an_artifact(script, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "report"
    (report / "figures").mkdir(parents=True)
    for name, text in {
        "index.html": "<p>",
        "results.csv": "method,accuracy\nfull,1.0\n",
        "figures/a.svg": "<svg/>",
    }.items():
        (report / name).write_text(text)
    script.log_report("us", "kvarena", report)
    wandb.teardown()  # which ends the process that writes
    (table,) = tmp_path.glob("wandb/offline-run-*/files/media/table/report_*.table.json")
    said = json.loads(table.read_text())
    assert (said["columns"], said["data"]) == (["method", "accuracy"], [["full", 1.0]])
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    written = log.read_bytes()
    assert all(name in written for name in (b"index.html", b"results.csv", b"figures/a.svg"))


def test_a_folder_without_a_report_is_refused(script, service, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(["us", "kvarena", "--report", str(tmp_path)])
    assert f"--report={tmp_path}: no results.csv in it, give the folder" in capsys.readouterr().err
    assert not service.views


def test_without_an_account_it_ends_with_one_line(script, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert script.main(["us", "kvarena"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("push_dashboard: ")
    assert err.count("\n") == 1
