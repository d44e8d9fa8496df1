"""What a probe reads from slots of texts that it was not fitted on, and what could be said without them.

Every other text is for fitting. A probe of `back` b is fitted on all slots, with the token b places before each slot's
as target, and asked of those whose token there was evicted from this layer and head; b = 0 is the slot's own token.
Beside what it gets right stand three controls on the same slots: `chance`, the most frequent target of all; `shuffled`,
a probe fitted on targets in another order; `text`, the most frequent target of those whose slot had the same own token,
which is what a surviving word says of its neighbours without any cache.

n slots, F features.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from .ridge import Ridge
from .slots import Slots


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Shares of `asked` tokens."""

    features: str
    back: int
    of: str  # all tokens that were asked, or those of the prompt
    fitted: int
    asked: int
    right: float
    chance: float
    shuffled: float
    text: float

    def row(self) -> dict[str, object]:
        return asdict(self)


def readings(slots: Slots, backs: int, penalty: float) -> Iterator[Reading]:
    """For each set of features, and `back` from 0 to `backs`; ValueError where there is too little to fit on."""
    fitting = slots.text % 2 == 0
    generator = torch.Generator().manual_seed(0)
    for back in range(backs + 1):
        target, evicted = slots.behind(back)
        fit = fitting & (target >= 0)
        asked = ~fitting & (evicted if back else target >= 0)
        if not asked.any():
            continue
        order = torch.randperm(int(fit.sum()), generator=generator).to(target.device)
        by_text = most_frequent(slots.own[fit], target[fit], slots.own[asked])
        common = target[fit].mode().values
        in_prompt = (slots.position - back < slots.prompt[slots.text])[asked]
        for name, features in slots.features():
            check_enough(fit, features)
            said = Ridge.fit(features[fit], target[fit], penalty).read(features[asked])
            shuffled = Ridge.fit(features[fit], target[fit][order], penalty).read(features[asked])
            for of, which in (("all", torch.ones_like(in_prompt)), ("prompt", in_prompt)):
                if which.any():
                    truth = target[asked][which]
                    shares = [share(each, truth) for each in (said[which], common, shuffled[which], by_text[which])]
                    yield Reading(
                        features=name,
                        back=back,
                        of=of,
                        fitted=int(fit.sum()),
                        asked=len(truth),
                        **dict(zip(("right", "chance", "shuffled", "text"), shares, strict=True)),
                    )


def share(said: Tensor, truth: Tensor) -> float:
    return float((said == truth).double().mean())


def check_enough(fit: Tensor, features: Tensor) -> None:
    if (count := int(fit.sum())) <= (dims := features.shape[1]):
        raise ValueError(
            f"{count} slots to fit on are not more than the {dims} channels of a probe: trace more rows "
            "(engine.trace), or a run of a larger budget"
        )


def most_frequent(given: Tensor, target: Tensor, asked: Tensor) -> Tensor:
    """[m]: for each of `asked` [m] the most frequent target [n] of those `given` [n] the same; of all where none is."""
    said = target.mode().values.expand(asked.shape).clone()
    for each in asked.unique():
        if (same := given == each).any():
            said[asked == each] = target[same].mode().values
    return said


def recovered(slots: Slots, backs: int, penalty: float) -> dict[str, object]:
    """Of the prompt's evicted tokens, in texts that no probe was fitted on: how many are read at the next survivor.

    The next slot that survives behind one is asked with the probe of its distance; farther than `backs`, none is.
    """
    fitting = slots.text % 2 == 0
    counts = {"evicted": 0, "reached": 0, "right": 0, "by_text": 0}
    places = torch.arange(slots.live.shape[1], device=slots.live.device)
    old = (places < slots.prompt[:, None]) & (places < slots.length[:, None]) & ~slots.live
    counts["evicted"] = int(old[1::2].sum())
    both = dict(slots.features())["both"]
    check_enough(fitting, both)
    for back in range(1, backs + 1):
        target, evicted = slots.behind(back)
        between = [slots.behind(nearer)[1] for nearer in range(1, back)]
        nearest = evicted & torch.stack([evicted, *between]).all(0)
        asked = ~fitting & nearest & (slots.position - back < slots.prompt[slots.text])
        fit = fitting & (target >= 0)
        if asked.any():
            said = Ridge.fit(both[fit], target[fit], penalty).read(both[asked])
            by_text = most_frequent(slots.own[fit], target[fit], slots.own[asked])
            counts["reached"] += int(asked.sum())
            counts["right"] += int((said == target[asked]).sum())
            counts["by_text"] += int((by_text == target[asked]).sum())
    return dict(counts)
