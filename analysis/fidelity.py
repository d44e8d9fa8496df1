"""How far each method drifts from dense on texts that were forced: what a text comes to, a run, and two runs together.

KL is in nats, a mean over the tokens of a text. Texts differ by orders of magnitude, so what is typical of a run is the
geometric mean over its problems, and two runs are compared by the ratio of their KL on the same problem; both intervals
are Student's, of the logs. The arithmetic mean stands beside it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t

from ..runners.record import Record
from .answer_tokens import answer_tokens
from .intervals import LEVEL
from .load import Run
from .rounds import evictions
from .setting import SETTING
from .stats import Estimate, Problem
from .tables import own_flags

FLOOR = 1e-9  # nats: below what float32 resolves, and a log needs something
BINS = (0, 16, 64, 256, 1024, 4096)  # tokens since the cache was first compressed; the last is open
SUMMARIES = ("kl", "kl_worst", "kl_end", "kl_answer", "nll", "mass", "same")
COLUMNS = (
    *(*SETTING, "method", "ratio", "tokens", "texts", "planned", "kl", "kl_typical", "kl_low", "kl_high"),
    *("kl_worst", "kl_end", "kl_answer", "nll", "mass", "same", "first", "evictions", "peak_slots", "tokens_read"),
    *("resident_bytes", "bytes_share", "floor", "note", "run", "device", "versions", "commit"),
)


class ForcedText(NamedTuple):
    """What was forced: of two texts of one problem no drift is compared."""

    sample: str
    target: str
    draw: int
    said: str  # a hash of its tokens and, where it is recorded, of its prompt

    @classmethod
    def of(cls, record: Record) -> "ForcedText":
        tokens = f"{record.prompt_sha} {record.token_ids}".encode()
        return cls(record.sample, record.target, record.draw, sha256(tokens).hexdigest())


def forced_runs(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.forces]


def free_runs(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if not run.forces]


def text_drift(record: Record) -> dict[str, Any]:
    """What the drift over a text comes to."""
    kl, tenth = np.array(record.kl), -(-record.num_tokens // 10)
    return {
        "sample": record.sample,
        "draw": record.draw,
        "kl": kl.mean(),
        "kl_worst": np.sort(kl)[-tenth:].mean(),  # of the tenth of its tokens that drift most
        "kl_end": kl[-tenth:].mean(),  # of its last tenth
        "kl_answer": mean_or_nan(kl[answer_tokens(record.pieces or [])]) if record.pieces else np.nan,
        "nll": np.mean(record.nll or [np.nan]),
        "mass": np.mean(record.mass or [np.nan]),
        "same": 1 - len(record.other or ()) / record.num_tokens,
        "first": record.other[0] if record.other else np.nan,  # token at which another is most probable
    }


def mean_or_nan(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def drifts(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a text of each forced run, the labels of its run in front."""
    rows = [label(run) | text_drift(record) for run in forced_runs(runs) for record in forced_records(run)]
    return pd.DataFrame(rows)


def label(run: Run) -> dict[str, Any]:
    names = (*SETTING, "ratio", "tokens")
    of_run = {"method": run.labels.named, "run": run.name, "bytes_share": run.header.get("bytes_share")}
    return {name: getattr(run.labels, name) for name in names} | of_run


def logs(texts: Mapping[ForcedText, float]) -> dict[Problem, float]:
    """The log of each problem's KL, mean over its draws."""
    values: dict[Problem, list[float]] = defaultdict(list)
    for text, kl in texts.items():
        values[text.sample, text.target].append(kl)
    return {problem: float(np.log(max(np.mean(kl), FLOOR))) for problem, kl in values.items()}


def kl_of_texts(run: Run) -> dict[ForcedText, float]:
    """The mean KL of each of its texts."""
    return {ForcedText.of(record): float(np.mean(record.kl or np.nan)) for record in forced_records(run)}


def forced_records(run: Run) -> Iterator[Record]:
    """Its records; ValueError for one that does not say how each of its tokens drifts."""
    for record in run.records():
        if not record.kl or len(record.kl) != record.num_tokens:
            raise ValueError(
                f"{run.folder.records_file}: {record.sample} has the KL of {len(record.kl or ())} of its "
                f"{record.num_tokens} tokens: run it again"
            )
        yield record


def geometric_mean(values: Sequence[float]) -> Estimate:
    """exp of the mean of logs, with Student's interval; NaN bounds for less than two."""
    n, mean = len(values), float(np.mean(values)) if len(values) else np.nan
    half = t.ppf(0.5 + LEVEL / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.nan
    return Estimate(float(np.exp(mean)), float(np.exp(mean - half)), float(np.exp(mean + half)))


def drift_table(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a forced run, by setting, ratio and drift; dense beside itself is the floor of what can be told apart."""
    rows = [row(run) for run in forced_runs(runs)]
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values([*SETTING, "ratio", "kl_typical"], na_position="first", ignore_index=True)


def row(run: Run) -> dict[str, Any]:
    records = list(forced_records(run))
    texts = pd.DataFrame([text_drift(record) for record in records])
    of_run = label(run) | {"planned": run.num_planned, "note": "; ".join(own_flags(run)), "floor": run.labels.is_dense}
    if texts.empty:
        return of_run
    value = geometric_mean(list(logs(kl_of_texts(run)).values()))
    means = {name: texts[name].mean() for name in SUMMARIES}
    return {
        **of_run,
        **means,
        **{name: run.header.get(name) for name in ("device", "commit")},
        "versions": " ".join(
            f"{name} {version}" for name, version in run.header.get("versions", {}).items() if version
        ),
        "texts": len(texts),
        "kl_typical": value.value,
        "kl_low": value.low,
        "kl_high": value.high,
        "first": middle(texts["first"]),
        **{name: np.mean([getattr(record, name) for record in records]) for name in COSTS},
        "evictions": np.mean([record.num_evictions for record in records]),
    }


def middle(first: pd.Series) -> float:
    """The median, where a text without any is later than all; NaN where half of the texts have none."""
    median = float(np.median(first.fillna(np.inf)))
    return median if np.isfinite(median) else np.nan


COSTS = ("peak_slots", "tokens_read", "resident_bytes")


def onset(record: Record, run: Run) -> int | None:
    """Index of the first token before which a compressed cache was read; None: there is none."""
    if run.labels.selects:
        # before token i the cache holds the prompt and i tokens, and before the first the prompt was read whole
        first = max(0, (run.labels.tokens or 0) - record.prompt_tokens) + 1
        return first if first < record.num_tokens else None
    steps = evictions(record, run.config.get("method", {}).get("budget", {}))
    return steps[0] if steps else None


def drift_by_position(runs: Iterable[Run]) -> pd.DataFrame:
    """A row a run and bin: mean KL at so many tokens since the cache was first compressed."""
    rows = []
    for run in forced_runs(runs):
        values: dict[int, list[float]] = defaultdict(list)
        for record in forced_records(run):
            if (start := onset(record, run)) is not None:
                kl = np.array(record.kl)[start:]
                bins = np.digitize(np.arange(len(kl)), BINS) - 1
                for index in np.unique(bins):
                    values[int(index)].append(float(kl[bins == index].mean()))
        rows += [
            label(run) | {"since": BINS[i], "texts": len(kl), "kl": np.mean(kl)} for i, kl in sorted(values.items())
        ]
    return pd.DataFrame(rows, columns=[*SETTING, "method", "ratio", "tokens", "run", "since", "texts", "kl"])
