"""Value ranges of a model on its own chains, what losing the largest does, and how alike two draws of a method are.

    python scripts/real/mechanism.py MODEL TEXTS OUTPUT [--texts 32] [--device cuda]

MODEL is a folder in Hugging Face format. TEXTS is the folder of a run of method=full, or a file of chains as
kvarena-fidelity takes it. Written to OUTPUT:

  values.csv    a row a layer: what part of all value ranges the largest 1, 5 and 10 % of a head's slots hold (were all
                alike, as much), and how far the 99th percentile and the largest are above the median; sinks left out
  first.csv     a row a position of the first eight, for leverage and the squared norms of keys and values: what part of
                a text's tokens has less, and in how many heads it is in the lowest tenth, or the lowest of all
  lost.csv      at its token `--cut` a text loses 1, 5 or 10 % of its slots once, those of largest value range or random
                ones, in each layer and KV head; the recent 16 and 4 sinks stay. It goes on with all others: mean KL to
                dense over what follows, and how many times that of random victims it is, by text
  endings.csv   the same where what follows is decoded freely: how often it ends in a loop, or not
  overlap.csv   a row a method and round: overlap |A and B| / |A or B| of what two draws keep of a text, at a quarter of
                the mean length, and that of independent draws of as many; without sinks and recent ones, which all keep
"""

import argparse
import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

import torch
from dense_texts import Work, read_texts
from ending import endings
from first_tokens import first_tokens
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.model import Checkpoint
from kvarena.runners.profile.value_ranges import top_share, value_ranges_of
from kvarena.runners.record import LineParser, natural, positive
from losing import LOST, SINKS, cut_at, losses
from overlap import overlaps


def range_tails(work: Work) -> Iterator[dict[str, object]]:
    """Means over texts and heads."""
    found = []
    for text in work.texts:
        ranges = value_ranges_of(work.model, [*text.prompt, *text.completion]).float()[..., SINKS:]
        high = torch.stack([ranges.quantile(0.99, -1), ranges.amax(-1)]) / ranges.median(-1).values
        found.append(torch.stack([*(top_share(ranges, share) for share in LOST), *high.mean(-1)], -1))
    names = [*(f"top_{round(100 * share)}_percent" for share in LOST), "p99_over_median", "largest_over_median"]
    for layer, row in enumerate(torch.stack(found).mean(0).tolist()):
        yield {"layer": layer, **{name: round(value, 4) for name, value in zip(names, row, strict=True)}}


def write_as_they_come(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """Each on the disk, and on the screen, as it comes."""
    with path.open("w", newline="") as file:
        table = None
        for row in rows:
            if table is None:
                table = csv.DictWriter(file, list(row), lineterminator="\n")
                table.writeheader()
            table.writerow(row)
            file.flush()
            print(f"{path.name}:", *(f"{name}={value}" for name, value in row.items()), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("chains", type=Path, metavar="TEXTS")
    parser.add_argument("output", type=Path)
    parser.add_argument("--texts", type=positive, default=32, help="the first so many")
    parser.add_argument("--cut", type=positive, help="default: half of the mean length")
    parser.add_argument("--max-tokens", type=natural, default=768, help="of what is decoded freely; 0: none")
    parser.add_argument(
        "--traced", type=natural, default=8, help="texts whose caches two draws are compared on; 0: none"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(argv)
    dtype = "float32" if options.device == "cpu" else "bfloat16"
    checkpoint = Checkpoint(name=options.model.name, path=str(options.model), dtype=dtype)
    texts = read_texts(options.chains, checkpoint, options.texts)
    length = fmean(len(text.prompt) + len(text.completion) for text in texts)
    cut = options.cut or round(length / 2)
    begun = cut_at(texts, cut)
    work, output = Work(checkpoint.load(find_device(options.device)), texts), options.output
    output.mkdir(parents=True, exist_ok=True)
    write_as_they_come(output / "values.csv", range_tails(work))
    write_as_they_come(output / "first.csv", first_tokens(work))
    write_as_they_come(output / "lost.csv", losses(work.model, begun, cut))
    if options.max_tokens:
        write_as_they_come(output / "endings.csv", endings(work, begun, cut, options.max_tokens))
    if options.traced:
        write_as_they_come(output / "overlap.csv", overlaps(work, round(length / 4), options.traced))


if __name__ == "__main__":
    run_script(main)
