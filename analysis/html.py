"""index.html: one file that needs no network, and the completions beside it, each in a script loaded when it is read.

A page opened from the disk may not fetch files, but it may load scripts; so each completion is a call of `receive`.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from ..runners.loops import terminal_loop
from ..runners.record import Record, replace
from .load import DENSE, Run
from .rounds import evictions, loop_onsets
from .setting import title
from .stats import loops, problem_means, score

TEXTS = "texts"
FIGURES = "figures"
WORD = 20  # characters that a mark is moved back by at most, to the beginning of a word


def write(
    runs: Sequence[Run], results: pd.DataFrame, beside: pd.DataFrame, missing: dict[str, str], output: Path
) -> Path:
    """`results` has a row for each run, in any order; `missing` says why a figure is not there."""
    places = {run.name: place for place, run in enumerate(runs)}
    data = {
        "dense": DENSE,
        "rows": records(results.assign(place=results["run"].map(places))),
        "settings": settings(runs),
        "onsets": [[[x["evictions"], x["onset"]] for x in loop_onsets([run])] for run in runs],
        "figures": sorted(path.stem for path in (output / FIGURES).glob("*.svg")),
        "missing": missing,
        "published": records(beside),
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
    shutil.rmtree(output / TEXTS, ignore_errors=True)
    for place, run in enumerate(runs):
        write_texts(run, output / TEXTS / str(place))
    path = output / "index.html"
    replace(path, html)
    return path


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, null where a number is missing."""
    return json.loads(table.to_json(orient="records", double_precision=6))


def script_safe(value: Any) -> str:
    """JSON that neither ends the script element it stands in nor holds what JSON does not know."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each task, difficulty and model: its problems, and what each run made of them."""
    found = []
    for setting in dict.fromkeys(run.setting for run in runs):
        places = [place for place, run in enumerate(runs) if run.setting == setting]
        problems = list(dict.fromkeys(key for place in places for key in problem_keys(runs[place].outcomes)))
        means = {place: problem_means(runs[place].outcomes, score) for place in places}
        looping = {place: problem_means(runs[place].outcomes, loops) for place in places}
        problems.sort(key=lambda problem: -sum(means[place].get(problem, 0) for place in places))
        found.append(
            {
                "title": title(*setting),
                "problems": [{"sample": sample, "target": target} for sample, target in problems],
                "runs": [
                    {
                        "place": place,
                        "draws": draws(runs[place].outcomes, problems),
                        "first_loops": first_loops(runs[place].outcomes, problems),
                        "scores": [rounded(means[place].get(problem)) for problem in problems],
                        "loops": [rounded(looping[place].get(problem)) for problem in problems],
                    }
                    for place in places
                ],
            }
        )
    return found


def problem_keys(outcomes: Iterable[Record]) -> Iterable[tuple[str, str]]:
    return ((record.sample, record.target) for record in outcomes)


def draws(outcomes: Iterable[Record], problems: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The names of the files of each problem's completions."""
    names: dict[tuple[str, str], list[str]] = {problem: [] for problem in problems}
    for place, record in enumerate(outcomes):
        names[record.sample, record.target].append(str(place))
    return list(names.values())


def first_loops(outcomes: Iterable[Record], problems: Sequence[tuple[str, str]]) -> list[int]:
    """Which draw of each problem is the first to end in a loop; 0 where none does."""
    looping: dict[tuple[str, str], list[bool]] = {problem: [] for problem in problems}
    for record in outcomes:
        looping[record.sample, record.target].append(record.loop_onset is not None)
    return [found.index(True) if any(found) else 0 for found in looping.values()]


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def write_texts(run: Run, folder: Path) -> None:
    """One script a completion, named by the place of its record among the sorted ones."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {record.key: place for place, record in enumerate(run.outcomes)}
    budget = run.config.get("method", {}).get("budget", {})
    for record in run.records():
        place = places[record.key]
        call = f"receive({script_safe(f'{folder.name}/{place}')},{script_safe(text(record, budget))})"
        folder.joinpath(f"{place}.js").write_text(call, encoding="utf-8")


def text(record: Record, budget: dict[str, Any]) -> dict[str, Any]:
    names = ("draw", "completion", "answer", "target", "note", "stop", "prompt_tokens", "num_tokens")
    names += ("num_evictions", "peak_slots", "loop_onset", "loop_period")
    return {name: getattr(record, name) for name in names} | {
        "score": score(record),
        "budget": budget.get("tokens"),
        "loop_character": None if record.loop_onset is None else units(record.completion, loop_character(record)),
        "evictions": [[step, units(record.completion, character(record, step))] for step in evictions(record, budget)],
    }


def character(record: Record, token: int) -> int:
    """About where a token begins in the text: by proportion between both ends and the loop, moved back to a word."""
    known = [(0, 0), (record.num_tokens, len(record.completion))]
    if record.loop_onset:
        known.insert(1, (record.loop_onset, loop_character(record)))
    tokens, characters = zip(*known, strict=True)
    place = int(np.interp(token, tokens, characters))
    return record.completion.rfind(" ", max(place - WORD, 0), place) + 1 or place


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
