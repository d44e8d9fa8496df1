"""What traces of the cache say (engine.trace=K): how large values are by layer, and how alike kept positions are.

Overlap is |A and B| / |A or B| of two sets of kept positions, sinks and recent ones included.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from ..runners.record.labels import PLAIN
from .load import Run
from .setting import SETTING

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Kept = dict[tuple[int, int], np.ndarray]  # by round and layer, [H, slots] positions


def trace_files(run: Run) -> list[Path]:
    return sorted((run.folder.path / "trace").glob("*.safetensors"))


def tensors(path: Path, what: str) -> Iterator[tuple[int, int, np.ndarray]]:
    """Round, layer and tensor of that name."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118, it is no dictionary
                *place, kind = name.split("/")  # the row's own, such as `prompt`, have none
                if kind == what:
                    round, layer = map(int, place)
                    yield round, layer, file.get_tensor(name).float().numpy()
    except SafetensorError as error:
        raise ValueError(f"{path} is no trace ({error}): delete it") from error


def value_ranges(runs: Iterable[Run]) -> pd.DataFrame:
    """Quantiles over tokens and heads of a value's range (max - min over the head dimension), before any eviction.

    Of plain caches: what a packed one has decoded is not what the model said.
    """
    found: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    for run in (each for each in runs if each.labels.cache == PLAIN):
        for path in trace_files(run):
            for round, layer, values in tensors(path, "values"):
                if round == 0 and values.size:
                    found[run.labels.model, layer].append(np.ptp(values, axis=-1).ravel())
    rows = [
        {"model": model, "layer": layer, **dict(zip(map(str, QUANTILES), np.quantile(parts, QUANTILES), strict=True))}
        for (model, layer), parts in ((place, np.concatenate(list(parts))) for place, parts in sorted(found.items()))
    ]
    return pd.DataFrame(rows, columns=["model", "layer", *map(str, QUANTILES)])


def diversity(runs: Iterable[Run]) -> pd.DataFrame:
    """Mean overlap by round, between the heads of a layer and between the draws of a problem."""
    rows = []
    for run in runs:
        by_sample: dict[str, list[Kept]] = defaultdict(list)
        for path in trace_files(run):
            by_sample[path.stem.rpartition("-")[0]].append({(r, n): kept for r, n, kept in tensors(path, "kept")})
        heads = [pair for draws in by_sample.values() for kept in draws for pair in between_heads(kept)]
        draws = [pair for kept in by_sample.values() for a, b in combinations(kept, 2) for pair in between_draws(a, b)]
        for kind, found in (("heads", heads), ("draws", draws)):
            by_round = pd.DataFrame(found, columns=["round", "overlap"]).groupby("round")["overlap"].mean()
            labels = {name: getattr(run.labels, name) for name in (*SETTING, "ratio")} | {"method": run.labels.named}
            rows += [labels | {"between": kind, "round": r, "overlap": overlap} for r, overlap in by_round.items()]
    columns = [*SETTING, "method", "ratio", "between", "round", "overlap"]
    return pd.DataFrame(rows, columns=columns)


def between_heads(kept: Kept) -> Iterator[tuple[int, float]]:
    for (round, _), positions in kept.items():
        for a, b in combinations(positions, 2):
            yield round, jaccard(a, b)


def between_draws(one: Kept, other: Kept) -> Iterator[tuple[int, float]]:
    for place in one.keys() & other.keys():
        for a, b in zip(one[place], other[place], strict=True):
            yield place[0], jaccard(a, b)


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Of positions, -1 where a head keeps fewer than another."""
    a, b = a[a >= 0], b[b >= 0]
    common = len(np.intersect1d(a, b))
    return common / (len(a) + len(b) - common)
