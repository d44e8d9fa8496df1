"""Only like is paired with like: what two runs do not have in common beside their method.

A problem is a sample with its target and, where the records have it, a hash of its prompt. What one of two runs does
not record is unknown: that is said, and refuses nothing. A key of the sampler that one of them lacks, as it did not
exist then, had its neutral value.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from .load import Run
from .stats import Draw, Problem, over_draws

NEUTRAL = (None, 0, 1, [])


class Unlike(NamedTuple):
    differs: tuple[str, ...]
    unknown: tuple[str, ...]

    def columns(self) -> dict[str, str]:
        return {"unlike": ", ".join(self.differs), "not_recorded": ", ".join(self.unknown)}


def unlike(a: Run, b: Run) -> Unlike:
    found = {name: same(one, other) for name, (one, other) in facts(a, b).items()}
    differs = tuple(name for name, verdict in found.items() if verdict is False)
    return Unlike(differs, tuple(name for name, verdict in found.items() if verdict is None))


def facts(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """What has to be the same, of each; None: not recorded, or not to be compared."""
    one, other = own_facts(a), own_facts(b)
    found = {name: (one[name], other[name]) for name in one}
    if a.labels.model != b.labels.model and None in found["weights"]:
        found["weights"] = (a.labels.model, b.labels.model)
    if not (a.has_prompts and b.has_prompts):  # else each problem says which it is
        sizes = [(run.header["num_samples"], run.header["num_draws"]) for run in (a, b)]
        whole = sizes[0] == sizes[1]  # the hashes are of all samples and draws together
        hashes = [run.header.get("prompts_sha256") if whole else None for run in (a, b)]
        found["prompts"] = (hashes[0], hashes[1])
    return found


def own_facts(run: Run) -> dict[str, Any]:
    model = run.config.get("model", {})
    return {
        "weights": run.header.get("fingerprints", {}).get("weights") or None,
        "sampler": run.config.get("sampler"),
        "max_tokens": run.config.get("max_tokens"),
        "template": run.header.get("template_sha256"),
        "dtype": model.get("dtype"),
    }


def same(one: Any, other: Any) -> bool | None:
    if one is None or other is None:
        return None
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys, absent = {*one, *other}, object()
        pairs = [(one.get(key, absent), other.get(key, absent)) for key in keys]
        return all(a == b or (absent in (a, b) and (b if a is absent else a) in NEUTRAL) for a, b in pairs)
    return one == other


def shared(a: Run, b: Run, measure: str) -> tuple[Mapping[Problem, float], Mapping[Problem, float]]:
    """Means of the `verdicts` or `looping` of two runs, by problem: with its prompt where both have it, else by name.

    Over the draws that both have, unless both are whole and one was to have more: what ends first is short, and not as
    often wrong.
    """
    one, other = getattr(a, measure), getattr(b, measure)
    if not (a.has_prompts and b.has_prompts):
        one, other = by_name(one), by_name(other)
    if a.header["num_draws"] == b.header["num_draws"] or not (a.is_whole and b.is_whole):
        one, other = (
            {draw: x for draw, x in ours.items() if draw in theirs} for ours, theirs in ((one, other), (other, one))
        )
    return over_draws(one), over_draws(other)


def by_name(values: Mapping[Draw, float]) -> dict[Draw, float]:
    return {(problem[:2], draw): value for (problem, draw), value in values.items()}
