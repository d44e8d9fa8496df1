"""kvarena-calibrate: bases and codebooks of a model's keys and values, in what recorded dense runs have said."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..job.errors import printed
from ..job.job import find_device
from ..job.provenance import commit
from ..profile import DenseTexts, dense_texts, refuse_unlike
from ..record import LineParser, positive, replace_file
from .codebooks import CENTROIDS
from .columns import DenseColumns, dense_columns
from .figure import draw_spectrum
from .learned import as_safetensors, learned_of
from .table import spectrum_of, write_spectrum


def main(argv: Sequence[str] | None = None) -> int:
    arguments = calibrate_arguments(argv)
    return printed("kvarena-calibrate", lambda: calibrate(arguments))


def calibrate_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = LineParser(prog="kvarena-calibrate", description=__doc__)
    parser.add_argument("model", help="name of the model that the runs are of, or the folder of its weights")
    parser.add_argument("run", nargs="+", help="folder of a run of method=full, or of several")
    parser.add_argument(
        "--output", type=Path, help="a .safetensors, a CSV and a PNG beside it; default: calibrations/NAME"
    )
    parser.add_argument("--texts", type=positive, default=16, help="completions of a run at most, its first ones")
    parser.add_argument("--tokens", type=positive, default=16384, help="at most, of all texts, evenly spread")
    parser.add_argument(
        "--parts", type=positive, nargs="*", default=[16], help="of a vector, for a codebook; none: no codebooks"
    )
    parser.add_argument("--device", default="auto", help="cuda if there is one, else cpu")
    return parser.parse_args(argv)


def calibrate(arguments: argparse.Namespace) -> str:
    """Write it; says where, and how it is used."""
    device = find_device(arguments.device)
    read = [dense_texts(arguments.model, run, arguments.texts) for run in arguments.run]
    refuse_unlike(read, arguments.run)
    checkpoint, texts = read[0].checkpoint, [text for each in read for text in each.requests]
    output: Path = arguments.output or Path("calibrations", f"{Path(checkpoint.name).name}.safetensors")
    if output.suffix != ".safetensors":
        raise ValueError(f"--output={output}: give it the ending .safetensors")
    columns = dense_columns(checkpoint.load(device), texts, arguments.tokens)
    refuse_few(columns, arguments)
    output.parent.mkdir(parents=True, exist_ok=True)
    spectrum = spectrum_of(columns)
    write_spectrum(output.with_suffix(".csv"), spectrum)
    draw_spectrum(output.with_suffix(".png"), checkpoint.name, spectrum)
    replace_file(output, as_safetensors(learned_of(columns, arguments.parts), facts_of(read, columns)))
    said = f"{output}: {columns.num_tokens} tokens of {len(texts)} texts"
    return f"{said}; kvarena cache=low_rank cache.calibration={output}"


def refuse_few(columns: DenseColumns, arguments: argparse.Namespace) -> None:
    """ValueError for too few tokens, or parts that a head has not."""
    dim, tokens = columns.of("keys", 0).shape[-1], columns.num_tokens
    runs = ", ".join(arguments.run)
    if tokens < dim:
        raise ValueError(f"{runs}: {tokens} tokens, fewer than the {dim} dimensions of a head; give more, or --texts")
    if arguments.parts and tokens < CENTROIDS:
        raise ValueError(
            f"{runs}: {tokens} tokens, fewer than {CENTROIDS} centroids; give more, or --parts without any"
        )
    for parts in arguments.parts:
        if dim % parts:
            raise ValueError(f"--parts={parts}: a head of {dim} cannot be parted so; use divisors")


def facts_of(read: Sequence[DenseTexts], columns: DenseColumns) -> dict[str, Any]:
    """What the file says of itself."""
    own, dirty = commit()
    runs = [{name: each.origin[name] for name in ("task", "difficulty", "run")} for each in read]
    made = dict(
        model=read[0].checkpoint.name, tokens=columns.num_tokens, texts=sum(len(each.requests) for each in read)
    )
    return made | dict(runs=runs, commit=own, dirty=dirty, fingerprints=read[0].origin["fingerprints"])


if __name__ == "__main__":
    sys.exit(main())
