"""index.html: one file that needs no network, and the completions beside it, in scripts loaded when one is read.

A page opened from the disk may not fetch files, but it may load scripts; so each completion is a call of `receive`.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from ..runners.loops import terminal_loop
from ..runners.record import DENSE, Record, replace_file
from .load import Run
from .rounds import evictions, loop_onsets
from .setting import title
from .stats import Problem, loops, named, problem_means, prompted, score

TEXTS = "texts"
SCRIPT = 2**20  # characters after which a script takes no further completion
FIGURES = "figures"
WORD = 20  # characters that a mark is moved back by at most, to the beginning of a word


def write_page(
    runs: Sequence[Run], results: pd.DataFrame, beside: pd.DataFrame, missing: dict[str, str], output: Path
) -> Path:
    """`results` has a row for each run, in any order; `missing` says why a figure is not there."""
    places = {run.name: place for place, run in enumerate(runs)}
    shutil.rmtree(output / TEXTS, ignore_errors=True)
    names = [write_texts(run, output / TEXTS / str(place)) for place, run in enumerate(runs)]
    data = {
        "dense": DENSE,
        "rows": json_rows(results.assign(place=results["run"].map(places))),
        "settings": page_settings(runs, names),
        "onsets": [[[x["evictions"], x["onset"]] for x in loop_onsets([run])] for run in runs],
        "figures": sorted(path.stem for path in (output / FIGURES).glob("*.svg")),
        "missing": missing,
        "published": json_rows(beside),
    }
    page = files("kvarena.analysis") / "page"
    html = page.joinpath("index.html").read_text(encoding="utf-8")
    for mark, text in (
        ("/* page.css */", page.joinpath("page.css").read_text(encoding="utf-8")),
        ("/* page.js */", page.joinpath("page.js").read_text(encoding="utf-8")),
        ("/* plotly.js */", get_plotlyjs()),
        ("/* data */", script_safe(data)),
    ):
        html = html.replace(mark, text, 1)
    path = output / "index.html"
    replace_file(path, html)
    return path


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, null where a number is missing."""
    return json.loads(table.to_json(orient="records", double_precision=6))


def script_safe(value: Any) -> str:
    """JSON that neither ends the script element it stands in nor holds what JSON does not know."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def page_settings(runs: Sequence[Run], names: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """For each task, difficulty and model: its problems, and what each run made of them; names by `write_texts`."""
    found = []
    for setting in dict.fromkeys(run.setting for run in runs):
        places = [place for place, run in enumerate(runs) if run.setting == setting]
        key = prompted if all(runs[place].has_prompts for place in places) else named
        scores = {place: problem_means(runs[place].outcomes, score, key) for place in places}
        looping = {place: problem_means(runs[place].outcomes, loops, key) for place in places}
        problems = list(dict.fromkeys(key(record) for place in places for record in runs[place].outcomes))
        problems.sort(key=lambda problem: -sum(scores[place].get(problem, 0) for place in places))
        found.append(
            {
                "title": title(*setting),
                "problems": [{"sample": sample, "target": target} for sample, target, *_ in problems],
                "runs": [
                    {
                        "place": place,
                        "draws": draws(runs[place].outcomes, names[place], problems, key),
                        "first_loops": first_loops(runs[place].outcomes, problems, key),
                        "scores": [rounded(scores[place].get(problem)) for problem in problems],
                        "loops": [rounded(looping[place].get(problem)) for problem in problems],
                    }
                    for place in places
                ],
            }
        )
    return found


def draws(
    outcomes: Sequence[Record], names: Sequence[str], problems: Sequence[Problem], key: Callable[[Record], Problem]
) -> list[list[str]]:
    """The names of each problem's completions."""
    found: dict[Problem, list[str]] = {problem: [] for problem in problems}
    for record, name in zip(outcomes, names, strict=True):
        found[key(record)].append(name)
    return list(found.values())


def first_loops(outcomes: Iterable[Record], problems: Sequence[Problem], key: Callable[[Record], Problem]) -> list[int]:
    """Which draw of each problem is the first to end in a loop; 0 where none does."""
    looping: dict[Problem, list[bool]] = {problem: [] for problem in problems}
    for record in outcomes:
        looping[key(record)].append(record.loop_onset is not None)
    return [found.index(True) if any(found) else 0 for found in looping.values()]


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def write_texts(run: Run, folder: Path) -> list[str]:
    """Scripts of several completions; returns the name of each, as its record is sorted: SCRIPT-PLACE."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {record.key: place for place, record in enumerate(run.outcomes)}
    budget = run.config.get("method", {}).get("budget", {})
    names, number, calls, size = [""] * len(places), 0, [], 0
    for record in run.records():
        place = places[record.key]
        names[place] = f"{number}-{place}"
        calls.append(
            f"receive({script_safe(f'{folder.name}/{names[place]}')},{script_safe(reader_facts(record, budget))})"
        )
        size += len(calls[-1])
        if size > SCRIPT:
            folder.joinpath(f"{number}.js").write_text(";".join(calls), encoding="utf-8")
            number, calls, size = number + 1, [], 0
    if calls:
        folder.joinpath(f"{number}.js").write_text(";".join(calls), encoding="utf-8")
    return names


def reader_facts(record: Record, budget: dict[str, Any]) -> dict[str, Any]:
    names = ("draw", "completion", "answer", "target", "note", "stop", "prompt_tokens", "num_tokens")
    names += ("num_evictions", "peak_slots", "loop_onset", "loop_period")
    after = evictions(record, budget)
    return {name: getattr(record, name) for name in names} | {
        "score": score(record),
        "budget": budget.get("tokens"),
        "loop_character": None if record.loop_onset is None else units(record.completion, loop_character(record)),
        "evictions": [
            [step, units(record.completion, at)] for step, at in zip(after, characters(record, after), strict=True)
        ],
    }


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
