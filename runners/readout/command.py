"""kvarena-probe: what can still be read from the slots that methods kept, of runs that traced their caches."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated

import hydra
from annotated_types import Gt, MinLen
from hydra.utils import instantiate
from omegaconf import DictConfig
from pydantic import PositiveInt
from torch import Tensor

from ..job import provenance
from ..job.errors import one_line_errors, run_command
from ..job.job import find_device
from ..job.made_of import weights
from ..job.schema import Section, check_plain, checked
from ..model import Checkpoint, inverse_frequencies, shape_of
from ..record import make_folder, replace_file
from .readings import readings, recovered
from .slots import Slots
from .traced import TracedText, titles, traced_texts

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Probing(Section):
    """The keys of conf/probe.yaml."""

    model: Checkpoint
    runs: Annotated[list[Annotated[str, MinLen(1)]], MinLen(1)]
    back: PositiveInt
    penalty: Annotated[float, Gt(0)]
    device: str
    dry_run: bool
    output_dir: Annotated[str, MinLen(1)]


def probe(config: DictConfig) -> str:
    """Fit, read and write; says where, and what came out."""
    check_plain(Probing, config)
    known = checked(Probing, config)
    device = find_device(known["device"])
    checkpoint: Checkpoint = instantiate(config.model)
    texts = {path: traced_texts(path, checkpoint) for path in known["runs"]}
    for path, found in texts.items():
        if len(found) < 2:
            raise ValueError(f"runs: {path} has traced one text, and a probe is asked of others: engine.trace=32")
    if known["dry_run"]:
        return "\n".join(f"{path}: {len(found)} traced texts" for path, found in texts.items())
    make_folder(folder := Path(known["output_dir"]), "output_dir")
    frequencies = inverse_frequencies(model := checkpoint.load(device), shape_of(model.config))
    rows, prompts = list[Row](), list[Row]()
    for path, found in texts.items():
        names, before = dict(titles(path)), len(rows)
        for place, slots in every_head(found, frequencies):
            read = readings(slots, known["back"], known["penalty"])
            rows += [names | place | shown(each.row()) for each in read]
            lost = recovered(slots, known["back"], known["penalty"])
            prompts.append(names | place | lost | {"nowhere": nowhere(found)})
        print(line(path, rows[before:]), flush=True)
    write_table(folder / "probe.csv", rows)
    write_table(folder / "prompt.csv", prompts)
    commit, dirty = provenance.commit()
    made = {"commit": commit, "dirty": dirty, "versions": provenance.versions(), "weights": weights(checkpoint)}
    asked = known | {"model": checkpoint.name, "dtype": checkpoint.dtype}
    replace_file(folder / "probe.json", json.dumps({"config": asked} | made, indent=1) + "\n")
    return f"written to {folder}"


def every_head(texts: Sequence[TracedText], frequencies: Tensor) -> Iterator[tuple[Row, Slots]]:
    for layer, state in enumerate(texts[0].layers):
        for head in range(len(state.keys)):
            yield {"layer": layer, "head": head}, Slots.of(texts, layer, head, frequencies)


def nowhere(texts: Sequence[TracedText]) -> float:
    """Share of the prompts' tokens that no layer and head holds any more."""
    gone = whole = 0
    for text in texts:
        held = {place for state in text.layers for place in state.positions.unique().tolist()}
        whole += text.prompt
        gone += len({*range(text.prompt)} - held)
    return round(gone / whole, 4)


def shown(row: Row) -> Row:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}


def write_table(path: Path, rows: Sequence[Row]) -> None:
    file = io.StringIO()
    table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    replace_file(path, file.getvalue())


def line(path: str, rows: Sequence[Row]) -> str:
    """Means over layers and heads, of keys and values together."""
    found: dict[object, list[float]] = defaultdict(list)
    for row in rows:
        if row["features"] == "both" and row["of"] == "all":
            found[row["back"]].append(float(str(row["right"])))
    return f"{path}: read " + ", ".join(f"{back} back {fmean(each):.2f}" for back, each in found.items())


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="probe")
def application(config: DictConfig) -> None:
    with one_line_errors():
        print(probe(config), flush=True)


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
