"""texts/: the completions and questions that the page reads, in scripts of several that it loads when one is read.

A page opened from the disk may not fetch files, but it may load scripts; so each text is a call of `receive`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..runners.loops import terminal_loop
from ..runners.record import Record, replace_file
from .assemble import script_safe
from .load import Run
from .rounds import evictions
from .stats import score

SCRIPT = 2**20  # characters after which a script takes no further text
WORD = 20  # characters that a mark is moved back by at most, to the beginning of a word
Tokens = Mapping[tuple[str, int, str | None], np.ndarray]  # by sample, draw and hash of the prompt


def write_scripts(folder: Path, texts: Iterable[tuple[int, Any]]) -> dict[int, str]:
    """Texts in any order, each with its place; returns the name of each by its place: FOLDER/SCRIPT-PLACE."""
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[int, str] = {}
    number, calls, size = 0, [], 0
    for place, text in texts:
        names[place] = f"{folder.name}/{number}-{place}"
        calls.append(f"receive({script_safe(names[place])},{script_safe(text)})")
        size += len(calls[-1])
        if size > SCRIPT:
            replace_file(folder / f"{number}.js", ";".join(calls))
            number, calls, size = number + 1, [], 0
    if calls:
        replace_file(folder / f"{number}.js", ";".join(calls))
    return names


def write_texts(run: Run, folder: Path, dense: Tokens) -> list[str]:
    """The completions of a run; the name of each, as its record is sorted. `dense` as `tokens_of` makes it.

    What a run that goes on has written since it was loaded is not of this report.
    """
    places = {record.key: place for place, record in enumerate(run.outcomes)}
    budget = run.config.get("method", {}).get("budget", {})
    texts = (
        (places[record.key], reader_facts(record, budget, dense)) for record in run.records() if record.key in places
    )
    names = write_scripts(folder, texts)
    return [names[place] for place in range(len(places))]


def tokens_of(run: Run) -> Tokens:
    """What a run wrote, as far as it is recorded."""
    written = (record for record in run.records() if record.token_ids)
    return {(*record.key, record.prompt_sha): np.array(record.token_ids, dtype=np.int32) for record in written}


def reader_facts(record: Record, budget: dict[str, Any], dense: Tokens) -> dict[str, Any]:
    names = ("draw", "completion", "answer", "target", "note", "stop", "prompt_tokens", "num_tokens")
    names += ("num_evictions", "peak_slots", "loop_onset", "loop_period")
    after = evictions(record, budget)
    return {name: getattr(record, name) for name in names} | {
        "score": score(record),
        "budget": budget.get("tokens"),
        "leaves": leaves(record, dense),
        "loop_character": None if record.loop_onset is None else units(record.completion, loop_character(record)),
        "evictions": [
            [step, units(record.completion, at)] for step, at in zip(after, characters(record, after), strict=True)
        ],
    }


def leaves(record: Record, dense: Tokens) -> int | None:
    """The first token that is not dense's, -1 where all are; None: not known, for either's tokens are not."""
    theirs = dense.get((*record.key, record.prompt_sha))
    if theirs is None or not record.token_ids:
        return None
    ours = np.array(record.token_ids, dtype=np.int32)
    common = min(len(ours), len(theirs))
    differs = np.flatnonzero(ours[:common] != theirs[:common])
    if len(differs):
        return int(differs[0])
    return -1 if len(ours) == len(theirs) else common


def characters(record: Record, tokens: Sequence[int]) -> list[int]:
    """About where tokens begin in the text: by proportion between both ends and the loop, moved back to a word."""
    known = [(0, 0), (record.num_tokens, len(record.completion))]
    if record.loop_onset:
        known.insert(1, (record.loop_onset, loop_character(record)))
    at, places = zip(*known, strict=True)
    found = np.interp(tokens, at, places).astype(int).tolist()
    return [record.completion.rfind(" ", max(place - WORD, 0), place) + 1 or place for place in found]


def loop_character(record: Record) -> int:
    """Where the loop begins in the text; in older records, which do not say, where the characters begin to repeat."""
    if record.loop_character is not None:
        return record.loop_character
    text, onset = record.completion, record.loop_onset or 0
    found = terminal_loop([*map(ord, text)], max_period=len(text) // 4, min_tokens=record.num_tokens - onset)
    return found.onset if found else len(text) * onset // max(record.num_tokens, 1)


def units(text: str, place: int) -> int:
    """A place in the text as a browser counts it, in units of UTF-16."""
    return place if text.isascii() else place + sum(sign > "\uffff" for sign in text[:place])
