"""Put a workspace for the runs of a wandb project online: accuracy, loops, length, speed and evictions by method.

    python scripts/push_dashboard.py ENTITY PROJECT --report runs/report

With `--report` what kvarena-report wrote goes there too: the page with its tables and figures as an artifact, the table
of results as one that wandb shows. It needs `pip install 'kvarena[wandb]'`, the network and `wandb login`: workspaces
exist online only. Runs that were logged offline are sent before by `wandb sync runs/*/*/*/wandb/offline-run-*`. Tables
and figures without an account: `kvarena-report`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import wandb
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from kvarena.runners.job.errors import run_script
from kvarena.runners.record import LineParser

RESULTS_FILE = "results.csv"
METHOD = "config.method"  # with the cache where that is packed
RESULTS = {
    "accuracy": "Accuracy",
    "loop_rate": "Completions that end in a loop",
    "truncation_rate": "Completions cut at max_tokens",
    "mean_length": "Tokens of a completion",
    "evictions": "Evictions of a row",
    "tokens_per_s": "Tokens a second",
}


def sections() -> list[ws.Section]:
    """What a run ended with, by method; how it went there; the rows themselves."""
    bars = [wr.BarPlot(title=title, metrics=[key], groupby=METHOD) for key, title in RESULTS.items()]
    lines = [wr.LinePlot(title=f"{title}, so far", x="rows", y=[key]) for key, title in RESULTS.items()]
    table = wr.WeavePanelSummaryTable(table_name="results")
    return [
        ws.Section(name="Results by method", panels=bars, is_open=True),
        ws.Section(name="As they came", panels=lines),
        ws.Section(name="Rows", panels=[table]),
        ws.Section(name="All runs", panels=[wr.WeavePanelSummaryTable(table_name="report")]),
    ]


def workspace(entity: str, project: str) -> ws.Workspace:
    return ws.Workspace(entity=entity, project=project, name="kvarena", sections=sections())


def log_report(entity: str, project: str, report: Path) -> None:
    """Of a folder that kvarena-report wrote; WANDB_MODE=offline leaves it to `wandb sync`."""
    settings = wandb.Settings(silent=True, console="off")
    with wandb.init(entity=entity, project=project, job_type="report", name="report", settings=settings) as run:
        run.log({"report": wandb.Table(dataframe=pd.read_csv(report / RESULTS_FILE))})
        page = wandb.Artifact("report", type="report")
        page.add_dir(str(report))
        run.log_artifact(page)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 2 where wandb cannot be reached or does not let us in."""
    parser = LineParser(description=__doc__.splitlines()[0])
    parser.add_argument("entity", help="user or team")
    parser.add_argument("project")
    parser.add_argument("--report", type=Path, metavar="DIR", help="what kvarena-report wrote, as an artifact")
    arguments = parser.parse_args(argv)
    report = arguments.report
    if report and not (report / RESULTS_FILE).is_file():
        parser.error(f"--report={report}: no {RESULTS_FILE} in it, give the folder that kvarena-report wrote")
    try:
        saved = workspace(arguments.entity, arguments.project).save()
        if report:
            log_report(arguments.entity, arguments.project, report)
    except Exception as error:  # wandb raises many kinds for what the service, the network or the account lacks
        print(f"push_dashboard: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(saved.url)
    return 0


if __name__ == "__main__":
    run_script(main)
