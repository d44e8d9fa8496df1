"""`kvarena-report RUNS_DIR`: one table of all runs below a folder, printed and written beside them."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from ..runners.record import replace
from .layout import markdown, terminal
from .load import REPORT, load
from .tables import results


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 where --verify found a mismatch, or 2 for what the caller can put right."""
    arguments = parse(argv)
    try:
        if arguments.verify:
            # torch and transformers take seconds to import, and nothing else here needs them
            from ..runners.verify import verify

            return 1 if verify(arguments.runs_dir) else 0
        report(arguments.runs_dir, arguments.output or arguments.runs_dir / REPORT)
    except (ValueError, OSError) as error:
        print(f"kvarena-report: {error}", file=sys.stderr)
        return 2
    return 0


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(prog="kvarena-report", description="Tabulate all runs below a folder.")
    parser.add_argument("runs_dir", type=Path, metavar="RUNS_DIR", help="runs are looked for below it, at any depth")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the files go (default: RUNS_DIR/report)")
    parser.add_argument("--verify", action="store_true", help="recompute hashes, say what does not match")
    return parser.parse_args(argv)


def report(runs_dir: Path, output: Path) -> None:
    table = results(load(runs_dir))
    output.mkdir(parents=True, exist_ok=True)
    files = {output / "results.csv": table.to_csv(index=False), output / "table.md": markdown(table)}
    for path, text in files.items():
        replace(path, text)
    print(terminal(table))
    print(f"wrote {' and '.join(map(str, files))}")


if __name__ == "__main__":
    sys.exit(main())
