"""`kvarena-report RUNS_DIR`: tables, figures and a page of all runs below a folder; `--compare A B`: two of them.

`--leaderboard RUNS...`: methods ranked over the runs of several folders or archives.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..runners.record import LineParser, make_folder, readable, replace_file, run_folders
from . import drift_page, fidelity, html, wide
from . import narrow as layout
from .archive import pack
from .compare import compare_runs
from .drift_pairs import drift_pairs
from .figures import STEP_TIMES, draw_all
from .gathered import gathered
from .leaderboard import leaderboard
from .leaderboard_page import leaderboard_markdown
from .load import Run, Runs, load
from .memory import memory_tables
from .memory_page import FOLDER, write_memory_page
from .pairs import pairs
from .panels import Look, house_style
from .published import agreement_text, beside_published
from .tables import results

REPORT = "report"  # where the files go below RUNS_DIR
LEADERBOARD = "leaderboard"  # where it goes without --output
BENCHMARK = "benchmark.csv"  # of kvarena-benchmark, where there is one in RUNS_DIR


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where --verify found a mismatch, or 2 for what the caller can put right."""
    arguments = parse_arguments(argv)
    try:
        status = 0
        with readable():
            status = command(arguments)
    except (ValueError, OSError) as error:
        print(f"kvarena-report: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return status


def command(arguments: Namespace) -> int:
    if arguments.leaderboard:
        write_leaderboard(arguments.leaderboard, arguments.output or Path(LEADERBOARD))
    elif arguments.compare:
        print(compare_runs(*arguments.compare), end="")
    elif arguments.verify:
        # torch and transformers take seconds to import, and nothing else here needs them
        from ..runners.verify import verify

        return 1 if verify(arguments.runs_dir) else 0
    else:
        write_report(arguments.runs_dir, arguments.output or arguments.runs_dir / REPORT)
        if arguments.archive:
            pack(load(arguments.runs_dir), arguments.archive, arguments.texts)
            print(f"wrote {arguments.archive}, {arguments.archive.stat().st_size:,} bytes")
    return 0


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    parser = LineParser(prog="kvarena-report", description="Report on all runs below a folder, or compare two.")
    parser.add_argument("runs_dir", nargs="?", type=Path, metavar="RUNS_DIR", help="runs are found at any depth below")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the files go (RUNS_DIR/report, leaderboard)")
    parser.add_argument("--archive", type=Path, metavar="FILE.tar.xz", help="pack all runs, without their tokens")
    parser.add_argument("--texts", action="store_true", help="with the completions in the archive")
    parser.add_argument("--verify", action="store_true", help="recompute hashes, say what does not match")
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("A", "B"), help="the folders of two runs")
    parser.add_argument("--leaderboard", nargs="+", type=Path, metavar="RUNS", help="rank folders and archives of runs")
    arguments = parser.parse_args(argv)
    if arguments.texts and arguments.archive is None:
        parser.error("--texts is for --archive")
    if arguments.archive and arguments.archive.is_dir():
        parser.error(f"--archive={arguments.archive} is a folder: name the file to write")
    if [arguments.runs_dir, arguments.compare, arguments.leaderboard].count(None) != 2:
        parser.error("give RUNS_DIR, --compare A B, or --leaderboard RUNS...")
    return arguments


def write_report(runs_dir: Path, output: Path) -> None:
    """Of the runs that decoded freely, of those whose texts were forced, and of what their caches remember."""
    remembered = memory_tables(runs_dir) if runs_dir.is_dir() else {}
    runs = Runs() if remembered and not run_folders(runs_dir) else load(runs_dir)
    ours, forced = fidelity.free_runs(runs), fidelity.forced_runs(runs)
    make_folder(output, "--output")
    with house_style():
        look = Look(run.labels.named for run in runs)
    if ours:
        report_accuracy(ours, benchmarks(runs_dir), look, output)
    if forced:
        report_fidelity(forced, look, output)
    if remembered:
        page = write_memory_page(remembered, output)
        print(f"wrote {page}, and beside it {', '.join(f'{name}.csv' for name in remembered)} in {FOLDER}/")


def report_accuracy(runs: Sequence[Run], steps: pd.DataFrame, look: Look, output: Path) -> None:
    table = results(runs)
    published = beside_published(table, runs)
    texts = {
        "results.csv": table.to_csv(index=False),
        "pairs.csv": pairs(runs).to_csv(index=False),
        "published.csv": published.to_csv(index=False),
        "table.md": f"{wide.wide_markdown(table)}\n{layout.narrow_markdown(table)}",
        "table.tex": wide.wide_latex(table),
    }
    for name, text in texts.items():
        replace_file(output / name, text)
    missing = draw_all(runs, table, steps, look, output / html.FIGURES)
    page = html.write_page(runs, table, published, missing, look, output)
    print(layout.narrow_text(table))
    if compared := agreement_text(published):
        print(f"{compared}\n")
    print(f"wrote {page}, and beside it {', '.join(texts)} and {html.FIGURES}/")


def report_fidelity(runs: Sequence[Run], look: Look, output: Path) -> None:
    table, positions = fidelity.drift_table(runs), fidelity.drift_by_position(runs)
    texts = {
        "fidelity.csv": table.to_csv(index=False),
        "fidelity_pairs.csv": drift_pairs(runs).to_csv(index=False),
        "fidelity_positions.csv": positions.to_csv(index=False),
        "fidelity.md": drift_page.markdown(table),
    }
    for name, text in texts.items():
        replace_file(output / name, text)
    page = drift_page.write_drift_page(runs, table, positions, look, output)
    print(texts["fidelity.md"])
    print(f"wrote {page}, and beside it {', '.join(texts)} and {drift_page.TEXTS}/")


def write_leaderboard(sources: Sequence[Path], output: Path) -> None:
    with gathered(sources) as runs:
        table = leaderboard(fidelity.free_runs(runs))
    make_folder(output, "--output")
    page = leaderboard_markdown(table, [str(source) for source in sources])
    replace_file(output / "leaderboard.csv", table.to_csv(index=False))
    replace_file(output / "leaderboard.md", page)
    print(page)
    print(f"wrote {output / 'leaderboard.md'}, and beside it leaderboard.csv")


def benchmarks(runs_dir: Path) -> pd.DataFrame:
    """The user's own step times; empty where none were taken."""
    file = runs_dir / BENCHMARK
    if not file.exists():
        return pd.DataFrame()
    table = pd.read_csv(file)
    if missing := set(STEP_TIMES) - set(table.columns):
        raise ValueError(f"{file} is not of kvarena-benchmark, it has no {', '.join(sorted(missing))}: move it away")
    return table


if __name__ == "__main__":
    sys.exit(main())
