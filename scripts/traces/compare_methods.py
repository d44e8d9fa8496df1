"""What methods would keep of the same caches of real decoding, and how much they agree.

    kvarena method=watched method@method.of=vase_attnv engine.trace=8 compression.ratio=2 output_dir=runs/traced
    python scripts/traces/compare_methods.py runs/traced

Every method is shown every traced state (a row and layer before a round) and decides anew. Counted are the candidates,
the slots older than the recent ones, which every method keeps. Printed and written to RUN/compare:

  overlap.csv   Jaccard overlap |A and B| / |A or B| of what two methods keep, a head at a time, mean over all
  mass.csv      share of the candidates' attention that a method keeps, mean over all: `seen` from the queries of the
                window before the round, `next` from the queries after it, up to the next round; and both over what
                the best set of that size in each head keeps of it
  compare.png   both as a picture

`best_seen` and `best_next` are those best sets. Attention is the softmax over the state's slots, mean over the group.
The overlap by chance is that of two independent draws of such a size. Methods that draw per slot share their noise (it
is keyed by position), so they overlap more than independent draws would.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import torch
from kvarena.methods.policy import Policy
from kvarena.runners.cache.replay import State
from kvarena.runners.job.errors import run_script
from torch import Tensor
from traced_run import TracedRun, read_arguments

BEST = "best_seen", "best_next"


class Comparison(NamedTuple):
    overlap: pd.DataFrame  # method by method
    mass: pd.DataFrame  # method by seen, next, seen_of_best, next_of_best
    by_chance: float


def attention_shares(queries: Tensor, state: State) -> Tensor:
    """[H, N]: probability of each slot, mean over group and window; queries [H, G, W, D]."""
    logits = queries.float() @ state.keys[:, None].float().mT / math.sqrt(queries.shape[-1])
    return logits.masked_fill((state.positions < 0)[:, None, None], -torch.inf).softmax(-1).mean((1, 2))


def best(share: Tensor, candidates: Tensor, tokens: int) -> Tensor:
    """[H, N] bool: the `tokens` candidates of largest share in each head."""
    top = share.masked_fill(~candidates, -1).topk(tokens, -1).indices
    return torch.zeros_like(candidates).scatter_(-1, top, True) & candidates


def compare_on_states(seen: Sequence[State], methods: Mapping[str, Policy], recent: int, interval: int) -> Comparison:
    """All methods on all states; `recent` and `interval` are of the method that was traced."""
    overlaps, masses, by_chance = [], [], []
    for state in seen:
        candidates = (state.positions >= 0) & (state.positions < state.next - recent)
        kept = {name: state.keep(policy) & candidates for name, policy in methods.items()}
        tokens = int(state.kept.ge(0).sum()) // len(state.kept) - recent
        later = state.later[:, :, -interval:] if state.later.numel() else state.later
        shares = {"seen": attention_shares(state.queries, state)}
        if later.numel():
            shares["next"] = attention_shares(later, state)
        most = {name: best(share, candidates, tokens) for name, share in shares.items()}
        kept |= {f"best_{name}": mask for name, mask in most.items()}
        overlaps.append(overlap_table(kept))
        part = tokens * len(candidates) / candidates.sum().item()
        by_chance.append(part / (2 - part))
        columns = {}
        for name, share in shares.items():
            of_kept = pd.Series({method: share[mask].sum().item() for method, mask in kept.items()})
            columns |= {
                name: of_kept / share[candidates].sum().item(),
                f"{name}_of_best": of_kept / share[most[name]].sum().item(),
            }
        masses.append(pd.DataFrame(columns))
    order = [*methods, *(name for name in BEST if any(name in table for table in overlaps))]
    mass = pd.concat(masses).groupby(level=0).mean().loc[order]
    table = pd.concat(overlaps).groupby(level=0).mean().loc[order, order]
    return Comparison(table, mass, sum(by_chance) / len(by_chance))


def overlap_table(kept: Mapping[str, Tensor]) -> pd.DataFrame:
    """Jaccard overlap of masks [H, N], mean over heads; two empty sets agree."""
    masks = torch.stack(list(kept.values())).float()  # [M, H, N]
    both = torch.einsum("ahn,bhn->abh", masks, masks)
    sizes = masks.sum(-1)
    either = sizes[:, None] + sizes[None] - both
    jaccard = torch.where(either > 0, both / either.clamp(min=1), 1.0).mean(-1)
    return pd.DataFrame(jaccard.tolist(), index=list(kept), columns=list(kept))


def draw_comparison(comparison: Comparison, file: Path, title: str) -> None:
    """Heat map of the overlap, and the attention kept beside it."""
    table, mass = 100 * comparison.overlap, 100 * comparison.mass
    size = 0.42 * len(table) + 1.6
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(size + 4.4, size), width_ratios=(size, 3), layout="constrained", sharey=True
    )
    lowest = table.min().min()
    image = left.imshow(table, cmap="viridis", vmin=lowest, vmax=100, aspect="auto")
    left.set_xticks(range(len(table)), table.columns, rotation=60, ha="right", rotation_mode="anchor")
    left.set_yticks(range(len(table)), table.index)
    for row, column in ((row, column) for row in range(len(table)) for column in range(len(table))):
        value = table.iloc[row, column]
        colour = "black" if value > (lowest + 100) / 2 else "white"
        left.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    left.set_title(f"overlap of what is kept, % (by chance {100 * comparison.by_chance:.0f})")
    figure.colorbar(image, ax=left, location="left", shrink=0.5, pad=0.02)
    for name, marker in (("seen", "o"), ("next", "D")):
        if name in mass:
            right.plot(mass[name], range(len(mass)), marker, label=name)
    right.grid(alpha=0.3)
    right.set_title("attention kept, %")
    right.legend(loc="best", fontsize=8)
    figure.suptitle(title)
    figure.savefig(file, dpi=150)
    plt.close(figure)


def report_comparison(comparison: Comparison, run: TracedRun) -> None:
    order = comparison.mass.sort_values(comparison.mass.columns[-1], ascending=False).index
    overlap, mass = comparison.overlap.loc[order, order], comparison.mass.loc[order]
    overlap.to_csv(run.output / "overlap.csv", float_format="%.4f", index_label="method")
    mass.to_csv(run.output / "mass.csv", float_format="%.4f", index_label="method")
    draw_comparison(comparison._replace(overlap=overlap, mass=mass), run.output / "compare.png", run.title)
    with pd.option_context("display.width", 1000, "display.max_columns", None):
        print(f"{run.title}\n\noverlap, % (by chance {100 * comparison.by_chance:.0f})")
        print(f"{(100 * overlap).round().astype(int)}\n\nattention kept, %\n{(100 * mass).round(1)}")
    print(f"\nwritten to {run.output}")


def main(arguments: Sequence[str] | None = None) -> None:
    run = read_arguments("What methods would keep of a traced run's caches.", arguments)
    budget = run.traced.budget
    report_comparison(compare_on_states(run.states, run.methods, budget.recent, budget.interval), run)


if __name__ == "__main__":
    run_script(main)
