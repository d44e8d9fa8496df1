"""How much of what methods keep hangs on the precision of cache and scores.

    kvarena method=watched method@method.of=snapkv engine.trace=8 compression.ratio=2 device=cpu output_dir=runs/traced
    python scripts/traces/compare_precision.py runs/traced

Each method decides three times about every traced state (a row and layer before a round): as it is, in float32; with
keys, values and queries rounded to bfloat16, as a GPU holds them; and by scores rounded to bfloat16, as releases that
compute in it have them. Printed and written to RUN/compare/precision.csv, means over states and heads:

  cache, score            Jaccard overlap |A and B| / |A or B| of the candidates kept then with those kept in float32
  ties, ties_cache, ties_score    share of heads in which the best slot that goes scores as the worst one that stays

Allocations are left out: they go by the scores of the method that they wrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import torch
from compare_methods import overlap_table
from kvarena.kernels import evict
from kvarena.methods.policy import Eviction, LayerView
from kvarena.runners.cache.replay import State
from kvarena.runners.job.errors import run_script
from torch import Tensor
from traced_run import read_arguments


class Decision(NamedTuple):
    kept: Tensor  # [H, N] bool: candidates
    tie: Tensor  # [H] bool


def decide(view: LayerView, score: Tensor) -> Decision:
    """Of the one row of a view, by scores [1, H, N]."""
    gone = evict.lowest(score, view.positions, view.evictable, view.excess)
    best_gone = score.masked_fill(~gone, -torch.inf).amax(-1)
    worst_kept = score.masked_fill(gone | ~view.evictable, torch.inf).amin(-1)
    return Decision((view.candidates & ~gone)[0], (best_gone == worst_kept)[0])


def halved(state: State) -> State:
    return replace(state, **{name: getattr(state, name).bfloat16() for name in ("keys", "values", "queries")})


def precision(seen: Sequence[State], methods: Mapping[str, Eviction]) -> pd.DataFrame:
    """Method by cache, score, ties, ties_cache, ties_score."""
    found = []
    for state in seen:
        for name, policy in methods.items():
            view, half = state.view(policy), halved(state).view(policy)
            score = policy.score(view)
            exact, cache, rounded = (
                decide(view, score),
                decide(half, policy.score(half)),
                decide(view, score.bfloat16().float()),
            )
            same = overlap_table({"exact": exact.kept, "cache": cache.kept, "score": rounded.kept})["exact"]
            ties = [decision.tie.float().mean().item() for decision in (exact, cache, rounded)]
            found.append((name, same["cache"], same["score"], *ties))
    table = pd.DataFrame(found, columns=["method", "cache", "score", "ties", "ties_cache", "ties_score"])
    return table.groupby("method", sort=False).mean()


def main(arguments: Sequence[str] | None = None) -> None:
    run = read_arguments("What methods would keep of a traced run's caches in bfloat16.", arguments)
    if run.states[0].keys.dtype != torch.float32:
        raise ValueError(f"{run.folder} was traced in {run.states[0].keys.dtype}: trace a run with device=cpu")
    table = precision(run.states, {n: p for n, p in run.methods.items() if p.by_score})
    table.to_csv(run.output / "precision.csv", float_format="%.4f")
    with pd.option_context("display.width", 1000, "display.max_columns", None):
        print(f"{run.title}\n\n%\n{(100 * table).round(1)}\n\nwritten to {run.output}")


if __name__ == "__main__":
    run_script(main)
