"""What each way to store keys and values changes, on the caches of a traced run.

    kvarena method=watched method@method.of=snapkv engine.trace=8 compression.ratio=2 device=cpu output_dir=runs/traced
    python scripts/traces/compare_formats.py runs/traced

Printed and written to RUN/compare/formats.csv, a line a file of conf/cache, means over states (a row and layer before a
round):

  bytes          of a key and a value
  keys, values   norm of the error over that of the vectors
  logits         root mean square of the error of a logit, of the window's queries and the slots they may see
  attention      KL divergence of their attention from that to plain keys, nats
  output         norm of the error of what they gather, keys and values packed, over that of the plain

What the head size does not allow is left out, and what is learned without a calibration of the model. The ring is not
used: every slot is packed, those of keys by channel in the order in which they stand, but for the last that fill no
group.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import hydra
import pandas as pd
import torch
from kvarena.kernels.pack import Format, encode
from kvarena.methods.full import Full
from kvarena.runners.cache import Shape, Storage
from kvarena.runners.cache.replay import State
from kvarena.runners.job.errors import run_script
from kvarena.runners.record import LineParser, replace_file
from torch import Tensor
from traced_run import read_traced_run


def caches(also: Sequence[str] = ()) -> dict[str, Storage]:
    """By the files of conf/cache, and by the words of others."""
    names = [file.name.removesuffix(".yaml") for file in (resources.files("kvarena.conf") / "cache").iterdir()]
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        words = {name: [f"cache={name}"] for name in sorted(names)} | {each: each.split() for each in also}
        configs = {name: hydra.compose("evaluate", asked).cache for name, asked in words.items()}
    return {name: hydra.utils.instantiate(config) for name, config in configs.items()}


def there_and_back(form: Format, vectors: Tensor) -> Tensor:
    """[H, N, D] as they are read where they are stored so."""
    if not form.packs:
        return vectors
    whole = vectors.shape[1] // form.span * form.span
    packed = form.unturn(form.restore(*encode(form, form.turn(vectors[:, :whole]))))
    return torch.cat([packed, vectors[:, whole:]], 1)


def relative(error: Tensor, whole: Tensor) -> float:
    return (error.norm() / whole.norm()).item()


def errors(state: State, storage: Storage) -> dict[str, float]:
    """Of one state; its queries [H, G, W, D] see the slots up to their own."""
    live, storage = state.positions[0] >= 0, storage.at(state.layer, 0, shape_of(state), state.keys.device)
    keys, values = (vectors[:, live].float() for vectors in (state.keys, state.values))
    packed = there_and_back(storage.keys, keys), there_and_back(storage.values, values)
    window = state.queries.shape[2]
    asked_at = state.next - torch.arange(window, 0, -1)
    unseen = state.positions[:, None, None, live] > asked_at[:, None]
    plain, other = (state.queries.float() @ own[:, None].mT * keys.shape[-1] ** -0.5 for own in (keys, packed[0]))
    logs, other_logs = (logits.masked_fill(unseen, -torch.inf).log_softmax(-1) for logits in (plain, other))
    output, other_output = logs.exp() @ values[:, None], other_logs.exp() @ packed[1][:, None]
    return {
        "keys": relative(packed[0] - keys, keys),
        "values": relative(packed[1] - values, values),
        "logits": (other - plain)[~unseen.expand_as(plain)].square().mean().sqrt().item(),
        "attention": (logs.exp() * (logs - other_logs).masked_fill(unseen, 0)).sum(-1).mean().item(),
        "output": relative(other_output - output, output),
    }


def shape_of(state: State) -> Shape:
    heads, _, dim = state.keys.shape
    return Shape(layers=state.num_layers, heads=heads, groups=1, dim=dim)


def allowed(storages: Mapping[str, Storage], shape: Shape, calibration: str) -> Iterator[tuple[str, Storage]]:
    for name, plain in storages.items():
        storage = replace(plain, calibration=calibration) if plain.learns else plain
        try:
            storage.check(shape, Full())
        except ValueError as reason:
            print(f"left out: {name}, {reason}")
            continue
        yield name, storage


def format_errors(seen: Sequence[State], calibration: str, also: Sequence[str] = ()) -> pd.DataFrame:
    """`calibration` as cache.calibration has it."""
    dim, lines = seen[0].keys.shape[-1], {}
    for name, storage in allowed(caches(also), shape_of(seen[0]), calibration):
        mean = pd.DataFrame([errors(state, storage) for state in seen]).mean()
        lines[name] = {"bytes": storage.keys.num_bytes(dim) + storage.values.num_bytes(dim)} | mean.to_dict()
    table = pd.DataFrame.from_dict(lines, orient="index").astype({"bytes": int}).rename_axis("cache")
    return table.sort_values(["bytes"], ascending=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = LineParser(description="What each way to store keys and values changes on a traced run.")
    parser.add_argument("run", type=Path, help="folder of a run with engine.trace")
    parser.add_argument("--calibration", help="a file of kvarena-calibrate; default: what ships with the model")
    parser.add_argument("--also", nargs="*", default=[], help='others: "cache=low_rank cache.keys.rank=20"')
    options = parser.parse_args(arguments)
    run = read_traced_run(options.run, ["snapkv"])
    table = format_errors(run.states, options.calibration or run.model, options.also)
    replace_file(run.output / "formats.csv", table.to_csv(float_format="%.5f"))
    with pd.option_context("display.width", 1000, "display.max_columns", None):
        print(f"{run.title}\n\n{table.round(4)}\n\nwritten to {run.output}")


if __name__ == "__main__":
    run_script(main)
