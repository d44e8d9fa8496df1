"""The dashboard, up to where the service would have to answer."""

import importlib.util
from pathlib import Path

import pytest

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
    results, course, rows = workspace.sections
    shown = {str(getattr(metric, "name", metric)) for panel in results.panels for metric in panel.metrics}
    assert shown == LOGGED
    assert [panel.x for panel in course.panels] == ["rows"] * 6
    assert rows.panels[0].table_name == "results"


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
