"""kvarena-profile: how many tokens each layer of a model looks at, in what a recorded dense run has said."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..job.errors import printed
from ..job.job import find_device
from ..record import LineParser, positive, replace_file
from .demand import measure_demand
from .dense_texts import dense_texts
from .figure import draw_profile


def main(argv: Sequence[str] | None = None) -> int:
    arguments = profile_arguments(argv)
    return printed("kvarena-profile", lambda: profile(arguments))


def profile_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = LineParser(prog="kvarena-profile", description=__doc__)
    parser.add_argument("model", help="name of the model that the run is of, or the folder of its weights")
    parser.add_argument("run", help="folder of a run of method=full")
    parser.add_argument("--output", type=Path, help="a YAML, and a PNG beside it; default: profiles/NAME.yaml")
    parser.add_argument("--texts", type=positive, default=8, help="completions at most, the first of the run")
    parser.add_argument("--steps", type=positive, default=512, help="at most, of a completion, evenly spread")
    parser.add_argument("--rho", type=held_part, default=0.93, help="part of the attention that is to be held")
    parser.add_argument("--device", default="auto", help="cuda if there is one, else cpu")
    return parser.parse_args(argv)


def held_part(text: str) -> float:
    if not 0 < (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no part from above 0 to 1")
    return value


def profile(arguments: argparse.Namespace) -> str:
    """Write it; says where, and how it is used."""
    device = find_device(arguments.device)
    checkpoint, requests, origin, _ = dense_texts(arguments.model, arguments.run, arguments.texts)
    demand = measure_demand(checkpoint.load(device), requests, rho=arguments.rho, most_steps=arguments.steps)
    means = [round(each, 2) for each in demand.means]
    output: Path = arguments.output or Path("profiles", f"{Path(checkpoint.name).name}.yaml")
    output.parent.mkdir(parents=True, exist_ok=True)
    made = dict(model=checkpoint.name, rho=arguments.rho, texts=len(requests), steps=demand.steps)
    shares = [round(each / sum(means), 4) for each in means]
    text = yaml.safe_dump(made | dict(demand=means, shares=shares) | origin, sort_keys=False, default_flow_style=None)
    replace_file(output, f"{HEAD}{text}")
    draw_profile(output.with_suffix(".png"), checkpoint.name, means, arguments.rho)
    said = f"{output}: {len(means)} layers, {min(means):g} to {max(means):g} tokens"
    return f"{said}; kvarena method=reasonalloc method.profile={output}"


HEAD = "# demand: tokens of each layer that hold rho of the attention, mean over heads and steps; by kvarena-profile\n"


if __name__ == "__main__":
    sys.exit(main())
