"""What kvarena-forget leaves: forget.csv, and forget.json, what it was made of."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from ..job import Job, provenance
from ..job.made_of import made_of, weights
from ..record import file_name, replace_file
from .influence import Row


def folder_of(job: Job, name: str, known: Mapping[str, Any]) -> Path:
    """The same for the same config."""
    if job.config["output_dir"]:
        return Path(job.config["output_dir"])
    task = "-".join(filter(None, (job.labels.task, job.labels.difficulty)))
    asked = provenance.digest([job.identity, known])[:6]
    return Path(job.config["runs_dir"], *map(file_name, (task, job.labels.model)), f"{file_name(name)}-{asked}")


def write_rows(folder: Path, rows: Sequence[Row]) -> None:
    file = io.StringIO()
    table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({name: rounded(value) for name, value in row.items()} for row in rows)
    replace_file(folder / "forget.csv", file.getvalue())


def rounded(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def write_origin(folder: Path, job: Job, known: Mapping[str, Any], device: torch.device, seconds: float) -> None:
    commit, dirty = provenance.commit()
    origin = {
        "labels": job.labels.written(),
        "config": {**job.config, **known},
        "commit": commit,
        "dirty": dirty,
        "versions": provenance.versions(),
        "device": provenance.device_name(device),
        "fingerprints": made_of(job.config, job.checkpoint) | {"weights": weights(job.checkpoint)},
        "erasers": {name: origin for name, each in known["erasers"].items() if (origin := instantiate(each).origin)},
        "seconds": round(seconds, 1),
    }
    replace_file(folder / "forget.json", json.dumps(origin, indent=1) + "\n")


def influence_table(rows: Iterable[Row]) -> str:
    """Of all texts and tokens together."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        key = " ".join(f"{name}={row[name]}" for name in ("eraser", "first_layer", "layers", "of") if name in row)
        sums[key][0] += float(str(row["kl_erased"]))
        sums[key][1] += float(str(row["kl_dense"]))
    ratios = {key: erased / dense if dense else float("nan") for key, (erased, dense) in sums.items()}
    return "\n".join(f"{key:24} influence {ratio:.4f}" for key, ratio in ratios.items())
