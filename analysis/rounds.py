"""When a row was evicted: where in its text the rounds fell."""

from collections.abc import Sequence
from typing import Any

from ..runners.record import Record
from .load import Run
from .setting import SETTING


def evictions(record: Record, budget: dict[str, Any]) -> list[int]:
    """Indices of the first token written after each eviction.

    Records of older runs count evictions only: theirs follow from `budget`, method.budget of run.json, and there are
    none where they would not add up to the count.
    """
    if record.eviction_steps is not None:
        return record.eviction_steps
    tokens, interval, prompt = budget.get("tokens"), budget.get("interval"), record.prompt_tokens
    if not tokens or not interval or not record.num_evictions:
        return []
    after_prompt = [0] if budget.get("prefill") and prompt > tokens else []
    slots = tokens if after_prompt else prompt
    over = slots + 1 - tokens
    first = 1 + (-over % interval if over > 0 else interval - over)
    found = [*after_prompt, *range(first, record.num_tokens - 1, interval)]
    return [step + 1 for step in found] if len(found) == record.num_evictions else []


def loop_onsets(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Each loop: what it is of, the token it begins at (`onset`), and how many evictions came before."""
    found = []
    for run in runs:
        budget = run.config.get("method", {}).get("budget", {})
        for record in run.outcomes:
            if record.loop_onset is not None:
                before = sum(step <= record.loop_onset for step in evictions(record, budget))
                labels = {name: getattr(run.labels, name) for name in SETTING} | {
                    "method": run.labels.named,
                    "run": run.name,
                }
                found.append(labels | {"evictions": before, "onset": record.loop_onset})
    return found
