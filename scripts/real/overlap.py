"""How alike two draws of a method are in what they keep of one text."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
from dense_texts import Work
from kvarena.analysis.traces import jaccard, tensors
from kvarena.methods.budget import Budget
from kvarena.methods.curdkv import CurDKVVaSE
from kvarena.methods.random import Random
from kvarena.methods.vase_attnv import VaSEAttnV
from kvarena.methods.vase_dkv import VaSEDKV
from kvarena.runners.fidelity import Scribe, longest

DRAWING = {"vase_dkv": VaSEDKV, "vase_attnv": VaSEAttnV, "curdkv_vase": CurDKVVaSE, "random": Random}
RECENT, SINKS, INTERVAL = 32, 4, 16


def overlaps(work: Work, tokens: int, num_texts: int) -> Iterator[dict[str, object]]:
    """A row a method and round, means over texts, layers and heads, of two draws under a budget of so many tokens."""
    for name, policy in DRAWING.items():
        budget = Budget(tokens=tokens, recent=RECENT, sinks=SINKS, interval=INTERVAL)
        requests = [text._replace(draw=draw) for text in work.texts[:num_texts] for draw in (0, 1)]
        scribe = Scribe(work.model, batch_size=len(requests), longest=longest(requests))
        with TemporaryDirectory() as folder:
            options = {"teacher": scribe, "trace": len(requests), "output_dir": Path(folder)}
            decoder = work.decoder(policy(budget=budget), requests, longest(requests), **options)
            for _ in decoder.run(requests):
                pass
            found = by_round(Path(folder) / "trace")
        for round_, pairs in sorted(found.items()):
            alike, chance = (round(fmean(column), 4) for column in zip(*pairs, strict=True))
            yield {"method": name, "round": round_, "texts": len(pairs), "overlap": alike, "by_chance": chance}


def by_round(folder: Path) -> dict[int, list[tuple[float, float]]]:
    """Of each text and round: overlap of its two draws, and that of independent ones."""
    kept: dict[str, list[dict[tuple[int, int], np.ndarray]]] = defaultdict(list)
    for file in sorted(folder.glob("*.safetensors")):
        kept[file.stem.rpartition("-")[0]].append({(r, layer): slots for r, layer, slots in tensors(file, "kept")})
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for one, other in kept.values():
        rounds: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for place in one.keys() & other.keys():
            rounds[place[0]] += [overlap_of(a, b) for a, b in zip(one[place], other[place], strict=True)]
        for round_, pairs in rounds.items():
            found[round_].append(tuple(map(fmean, zip(*pairs, strict=True))))  # type: ignore[arg-type]
    return found


def overlap_of(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Overlap of two sets of kept positions, and that of independent draws of as many, sinks and recent left out."""
    end = max(a.max(), b.max()) + 1 - RECENT
    a, b = (kept[(kept >= SINKS) & (kept < end)] for kept in (a, b))
    share = (len(a) + len(b)) / 2 / (end - SINKS)
    return jaccard(a, b), share / (2 - share)
