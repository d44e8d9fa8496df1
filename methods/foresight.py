"""ForesightKV: keep what a small network, trained on dense traces, expects to be attended to later.

ICML 2026 (RUCAIBox/ForesightKV, fdb541f). Every layer and KV head has a network of two layers with 16 hidden units,
which sees a slot's key and value and what has been attended to it: of each query head the greatest and least
probability in the window, their sum, and the sums over its newest 16, 8 and 32; of the group the sum over all queries,
and one in which what was before a round counts .9 times. `kvarena-foresight` trains it to order slots as the attention
to come does. Their second stage, reinforcement learning, is not done.

Deviations: the window is the recent slots, and its queries are those since the last round or fewer; the last two sums
are means over a group, where theirs are of each query head; the lowest scores go, where they sample among twice as
many; a recent slot's first round counts as its first. `scorer` null has random weights, which is a control.

B rows, L layers, A KV heads of a layer, H of a view, G query heads per KV head, N slots, D head dim, F features, U
hidden units.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .policy import Eviction, LayerView, Needs
from .scorer import Scorer, load_scorer, untrained
from .scores import mean_softmax, query_shares, seen_by_window

NEWEST = (16, 8, 32)  # queries of the window, or as many as it has
DECAY = 0.9  # of a round


@dataclass(frozen=True, kw_only=True)
class Foresight(Eviction):
    scorer: str | None  # a file of kvarena-foresight, or the model that one ships with; None: untrained
    digest: str | None = None  # of the file, so that run.json says which it was

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scorer is not None:
            load_scorer(self.scorer, self.digest)

    @property
    def needs(self) -> Needs:
        return Needs(queries=self.budget.recent, mass=True, remembered=True)

    @property
    def trained(self) -> bool:
        return self.scorer is not None

    def fits(self, weights: Mapping[str, str]) -> None:
        if self.scorer is None:
            return
        made = load_scorer(self.scorer, self.digest).made
        if others := sorted(name for name, _ in tensor_files(made["weights"]) ^ tensor_files(weights)):
            raise ValueError(
                f"method.scorer={self.scorer} was trained on other weights ({others[0]}) than the model has: "
                "kvarena-foresight MODEL RUN makes one of them"
            )
        there, asked = (made["recent"], made["interval"]), (self.budget.recent, self.budget.interval)
        if there != asked:
            raise ValueError(
                f"method.scorer={self.scorer} saw {there[0]} recent slots and a round every {there[1]} steps, not "
                f"{asked[0]} and {asked[1]}: use compression.recent={there[0]} compression.interval={there[1]}"
            )

    def remember(self, view: LayerView) -> Tensor:
        return of_all_rounds(view, view.queries.shape[3] * mean_softmax(view, seen_by_window(view)))

    def score(self, view: LayerView) -> Tensor:
        return self.network(view)(view.layer, features(view), view.heads)

    def network(self, view: LayerView) -> Scorer:
        """ValueError for one of another model."""
        heads = view.positions.shape[1] * view.heads.ranks
        size = view.num_layers, heads, num_features(view.queries.shape[2], view.stored_keys.shape[-1])
        if self.scorer is None:
            return untrained(*size, view.positions.device)
        network = load_scorer(self.scorer, self.digest, view.positions.device)
        if network.size != size:
            raise ValueError(
                f"method.scorer={self.scorer} is of {network.size} layers, KV heads and features, not of {size}"
            )
        return network


def tensor_files(weights: Mapping[str, str]) -> set[tuple[str, str]]:
    """With their hashes: a config is written anew by every version of transformers."""
    return {(name, digest) for name, digest in weights.items() if name.endswith((".safetensors", ".bin"))}


def features(view: LayerView) -> Tensor:
    """[B, H, N, F] float32."""
    columns, window = [view.keys.float(), view.values.float()], torch.zeros_like(view.mass)
    for shares in query_shares(view, seen_by_window(view)):  # [B, H, W, N], the newest query last
        total = shares.sum(2)
        newest = [shares[:, :, -count:].sum(2) for count in NEWEST]
        columns.append(torch.stack([shares.amax(2), shares.amin(2), total, *newest], -1))
        window = window + total
    window = window / view.queries.shape[2]
    return torch.cat([*columns, view.mass[..., None], of_all_rounds(view, window)[..., None]], -1)


def num_features(groups: int, dim: int) -> int:
    return 2 * dim + (3 + len(NEWEST)) * groups + 2


def of_all_rounds(view: LayerView, window: Tensor) -> Tensor:
    """[B, H, N]: attention of the window, mean over the group, beside what the rounds before have left of theirs."""
    return DECAY * view.remembered.clamp(min=0) + window
