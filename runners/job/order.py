"""Which requests begin first: those that are expected to be longest, so that few rows are idle at the end.

What a row says does not depend on when or where it begins.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..generate import Request
from ..record import Record, RunFolder

Lengths = Mapping[str, float]  # tokens of a completion, mean over the draws of each sample
KNOWN: dict[str, Lengths] = {}  # of the first run of this process that had these prompts, by their hash


def mean_lengths(records: Iterable[Record]) -> Lengths:
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        found[record.sample].append(record.num_tokens)
    return {sample: sum(lengths) / len(lengths) for sample, lengths in found.items()}


def expected_lengths(run: str | None, prompts_sha256: str) -> Lengths:
    """Of the completions of a run, or of one of the same prompts that this process made before; none may be known."""
    if run is None:
        return KNOWN.get(prompts_sha256, {})
    folder = RunFolder(path=Path(run))
    if not folder.run_file.is_file():
        raise ValueError(f"lengths={run} holds no run.json: give the folder of a run")
    return mean_lengths(folder.stream())


def remember_lengths(prompts_sha256: str, records: Iterable[Record]) -> None:
    if prompts_sha256 not in KNOWN:
        KNOWN[prompts_sha256] = mean_lengths(records)


def longest_first(requests: Sequence[Request], expected: Lengths) -> list[Request]:
    """What nothing is known of comes first, for it may be long; draws of a sample stay together, in their order."""
    return sorted(requests, key=lambda request: -expected.get(request.sample, float("inf")))
