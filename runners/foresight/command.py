"""kvarena-foresight: train a scorer of slots for a model, on what recorded dense runs of it have said."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...methods.budget import Budget
from ...methods.foresight import Foresight
from ...methods.scorer import Scorer
from ..job.errors import printed
from ..job.job import find_device
from ..job.provenance import commit
from ..model import Model
from ..profile import DenseTexts, dense_texts, refuse_unlike
from ..record import LineParser, natural, positive, replace_file
from .rounds import Example, examples
from .seen import seen_of
from .train import agreement, scores_of, train_scorer

RATIOS = (2, 4)  # of the budgets, one text after the other
TRIED = 128  # rounds of a task in which pairs are counted


def main(argv: Sequence[str] | None = None) -> int:
    arguments = foresight_arguments(argv)
    return printed("kvarena-foresight", lambda: foresight(arguments))


def foresight_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = LineParser(prog="kvarena-foresight", description=__doc__)
    parser.add_argument("model", help="name of the model that the runs are of, or the folder of its weights")
    parser.add_argument("runs", nargs="+", help="folders of runs of method=full, to train on")
    parser.add_argument("--held-out", nargs="+", default=[], metavar="RUN", help="others, to see how it does on them")
    parser.add_argument("--output", type=Path, help="default: scorers/NAME.safetensors")
    parser.add_argument("--texts", type=positive, default=64, help="completions of each run")
    parser.add_argument("--skip", type=natural, default=0, help="problems of each run that are left out, its first")
    parser.add_argument("--recent", type=positive, default=64, help="slots, as the method will be run")
    parser.add_argument("--interval", type=positive, default=64, help="steps between rounds, likewise")
    parser.add_argument("--slots", type=positive, default=64, help="that are looked at in each head and round")
    parser.add_argument("--steps", type=positive, default=1000, help="of training")
    parser.add_argument("--batch", type=positive, default=8, help="rounds of a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="cuda if there is one, else cpu")
    return parser.parse_args(argv)


def foresight(arguments: argparse.Namespace) -> str:
    """Train, write and try it; says where it is, how well it orders, and how it is used."""
    device, runs = find_device(arguments.device), [*arguments.runs, *arguments.held_out]
    said = [dense_texts(arguments.model, run, arguments.texts, arguments.skip) for run in runs]
    refuse_unlike(said, runs)
    name = said[0].checkpoint.name
    output: Path = arguments.output or Path("scorers", f"{Path(name).name}.safetensors")
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder: name the file to write")
    model = said[0].checkpoint.load(device)
    made = [stacked(rounds_of(model, one, arguments)) for one in said]
    seen = [torch.cat(parts) for parts in zip(*made[: len(arguments.runs)], strict=True)]
    scorer = train_scorer(*seen, steps=arguments.steps, batch=arguments.batch, seed=arguments.seed)
    ordered = [order(scorer, one) for one in made]
    output.parent.mkdir(parents=True, exist_ok=True)
    replace_file(output, replace(scorer, made=made_how(arguments, said, ordered)).to_bytes())
    tasks = ", ".join(f"{one.origin['task']} {share:.3f}" for one, share in zip(said, ordered, strict=True))
    done = f"{output}: of {len(seen[0])} rounds; orders pairs as dense attends to them later: {tasks}"
    return f"{done}; kvarena method=foresight method.scorer={output}"


def rounds_of(model: Model, said: DenseTexts, arguments: argparse.Namespace) -> Iterator[Example]:
    rng = torch.Generator().manual_seed(arguments.seed)
    for index, text in enumerate(said.requests):
        tokens = round(said.length / RATIOS[index % len(RATIOS)])
        budget = Budget(tokens=tokens, recent=arguments.recent, sinks=0, interval=arguments.interval)
        policy = Foresight(budget=budget, scorer=None)
        yield from examples(seen_of(model, text), len(text.prompt), policy, most=arguments.slots, rng=rng)


def stacked(rounds: Iterable[Example]) -> Example:
    """[E, L, A, M, F] in half precision, and [E, L, A, M]; ValueError where there is no round."""
    if not (kept := [one._replace(features=one.features.half()) for one in rounds]):
        raise ValueError("no text is long enough for a round: lower --interval, or give longer ones")
    return Example(*(torch.stack(parts) for parts in zip(*kept, strict=True)))


def order(scorer: Scorer, made: Example) -> float:
    """Share of pairs, of at most `TRIED` rounds."""
    some = made.features[:: -(-len(made.features) // TRIED)].float()
    return agreement(scores_of(scorer, some), made.worth[:: -(-len(made.worth) // TRIED)])


def made_how(arguments: argparse.Namespace, said: Sequence[DenseTexts], ordered: Sequence[float]) -> dict[str, Any]:
    """What the file says of itself."""
    count, (revision, dirty) = len(arguments.runs), commit()
    named = [f"{one.origin['task']}-{one.origin['difficulty']}" for one in said]
    asked = ("texts", "skip", "recent", "interval", "slots", "steps", "batch", "seed")
    return {
        "model": said[0].checkpoint.name,
        "weights": said[0].origin["fingerprints"]["weights"],
        "trained_on": named[:count],
        "held_out": named[count:],
        "ordered": [round(share, 4) for share in ordered],
        **{name: getattr(arguments, name) for name in asked},
        "commit": revision,
        "dirty": dirty,
    }


if __name__ == "__main__":
    sys.exit(main())
