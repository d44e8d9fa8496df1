"""What a cache that grows by `torch.cat` costs a step, beside columns that were allocated before.

    python scripts/speed/growing.py --device cuda --output growing.csv
    python scripts/speed/growing.py --draw growing.csv --output growing.png

Both take one token a row into the keys and values of all layers, of the shape of Qwen3-8B unless told otherwise. A step
reads the columns anyway, to attend: what that takes at copy bandwidth stands beside them as `attend_ms`.

B rows, H KV heads, N slots, D head dim.
"""

import csv
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pandas as pd
import torch
from kvarena.analysis.panels import house_style
from kvarena.runners.job import provenance
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.record import LineParser, positive, write_figure
from matplotlib.figure import Figure
from torch import Tensor

NAMES = {"attend_ms": "what attention reads", "cat_ms": "cat", "in_place_ms": "a write in place"}  # of the bars


def milliseconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median of single calls, the device's work included."""
    times = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1e3 * (time.perf_counter() - started))
    return median(times[2:])


def layer_times(rows: int, heads: int, slots: int, dim: int, dtype: torch.dtype, device: torch.device) -> list[float]:
    """Of one layer: `cat`, in place, and a read of keys and values."""
    columns = torch.randn(2, rows, heads, slots + 1, dim, device=device).to(dtype)  # keys, values
    full = [column[:, :, :slots].contiguous() for column in columns]
    new = torch.randn(2, rows, heads, 1, dim, device=device).to(dtype)

    def grow() -> list[Tensor]:
        return [torch.cat([column, token], dim=2) for column, token in zip(full, new, strict=True)]

    def write() -> None:
        columns[:, :, :, slots:] = new

    copy = torch.empty_like(columns)
    # a copy reads and writes, attention only reads
    return [
        milliseconds(grow, device, 20),
        milliseconds(write, device, 20),
        milliseconds(lambda: copy.copy_(columns), device, 20) / 2,
    ]


def draw(path: Path) -> Figure:
    table = pd.read_csv(path)
    if missing := {"slots", *NAMES} - {*table}:
        raise ValueError(f"{path} has no {', '.join(sorted(missing))}: give a CSV that this script wrote")
    figure = Figure(figsize=(5.6, 2.4), layout="constrained")
    axis, places = figure.subplots(), range(len(table))
    for i, (column, name) in enumerate(NAMES.items()):
        bars = axis.barh([place + (1 - i) * 0.27 for place in places], table[column], height=0.25, label=name)
        axis.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
    axis.set_yticks(places, [f"{slots:,} slots" for slots in table["slots"]])
    axis.set(xlabel="milliseconds a step, all layers")
    axis.legend(loc="lower right", bbox_to_anchor=(1, 0.02))
    return figure


def main(argv: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=positive, default=36)
    parser.add_argument("--rows", type=positive, default=16)
    parser.add_argument("--heads", type=positive, default=8)
    parser.add_argument("--dim", type=positive, default=128)
    parser.add_argument("--slots", type=positive, nargs="+", default=[1024, 4096, 8192])
    parser.add_argument("--output", type=Path, default=Path("growing.csv"))
    parser.add_argument("--draw", type=Path, help="a CSV of before: the figure of it is the output")
    arguments = parser.parse_args(argv)
    if arguments.draw:
        with house_style():
            write_figure(draw(arguments.draw), arguments.output)
        return
    device = find_device(arguments.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with arguments.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["slots", "rows", "layers", "heads", "dim", "dtype", "cat_ms", "in_place_ms", "attend_ms", "device"]
        )
        for slots in arguments.slots:
            times = layer_times(arguments.rows, arguments.heads, slots, arguments.dim, dtype, device)
            sizes = (slots, arguments.rows, arguments.layers, arguments.heads, arguments.dim, str(dtype)[6:])
            line = [*sizes, *(round(arguments.layers * each, 3) for each in times), provenance.device_name(device)]
            writer.writerow(line)
            print(*line, sep=", ", flush=True)


if __name__ == "__main__":
    run_script(main)
