"""index.html: the table, charts and problems of all runs in one file, and beside it the texts that it reads."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from plotly.offline import get_plotlyjs

from ..runners.record import DENSE, Record, read_questions, replace_file
from .assemble import assembled, json_rows, script_safe
from .likeness import unlike
from .load import Run
from .marks import SAYS, marks
from .pairs import dense_runs
from .panels import Look
from .rounds import loop_onsets
from .setting import title
from .stats import Problem, loops, named, problem_means, prompted, score
from .texts import tokens_of, write_scripts, write_texts

TEXTS = "texts"
FIGURES = "figures"
Key = Callable[[Record], Problem]


def write_page(
    runs: Sequence[Run], results: pd.DataFrame, beside: pd.DataFrame, missing: dict[str, str], look: Look, output: Path
) -> Path:
    """`results` has a row for each run, in any order; `missing` says why a figure is not there."""
    places = {run.name: place for place, run in enumerate(runs)}
    shutil.rmtree(output / TEXTS, ignore_errors=True)
    names = write_all_texts(runs, output / TEXTS)
    data = {
        "dense": DENSE,
        "rows": json_rows(results.assign(place=results["run"].map(places), mark=marks(results))),
        "marks": SAYS,
        "settings": page_settings(runs, names, output / TEXTS),
        "onsets": [[[x["evictions"], x["onset"]] for x in loop_onsets([run])] for run in runs],
        "texts": TEXTS,
        "looks": look.page(),
        "figures": sorted(path.stem for path in (output / FIGURES).glob("*.svg")),
        "missing": missing,
        "published": json_rows(beside),
    }
    path = output / "index.html"
    replace_file(path, assembled("index.html", {"plotly": get_plotlyjs(), "data": script_safe(data)}))
    return path


def write_all_texts(runs: Sequence[Run], folder: Path) -> list[list[str]]:
    """The names of each run's texts; a dense run's tokens are held while the others of its setting are written."""
    names: dict[str, list[str]] = {}
    places = {run.name: place for place, run in enumerate(runs)}
    baselines = dense_runs(runs)
    groups: dict[str | None, list[Run]] = defaultdict(list)
    for run in runs:
        others = [] if run.labels.is_dense else baselines.get(run.setting, [])
        like = next((dense for dense in others if not unlike(run, dense).differs), None)
        groups[like.name if like else None].append(run)
    for dense, group in groups.items():
        tokens = tokens_of(runs[places[dense]]) if dense else {}
        for run in group:
            names[run.name] = write_texts(run, folder / str(places[run.name]), tokens)
    return [names[run.name] for run in runs]


def page_settings(runs: Sequence[Run], names: Sequence[Sequence[str]], folder: Path) -> list[dict[str, Any]]:
    """For each task, difficulty and model: its problems, and what each run made of them; names by `write_texts`."""
    found = []
    for number, setting in enumerate(dict.fromkeys(run.setting for run in runs)):
        places = [place for place, run in enumerate(runs) if run.setting == setting]
        key = prompted if all(runs[place].has_prompts for place in places) else named
        scores = {place: problem_means(runs[place].outcomes, score, key) for place in places}
        looping = {place: problem_means(runs[place].outcomes, loops, key) for place in places}
        problems = list(dict.fromkeys(key(record) for place in places for record in runs[place].outcomes))
        problems.sort(key=lambda problem: -sum(scores[place].get(problem, 0) for place in places))
        asked = write_scripts(folder / f"q{number}", questions([runs[place] for place in places], problems, key))
        found.append(
            {
                "title": title(*setting),
                "problems": [
                    {"sample": sample, "target": target, "question": asked.get(i)}
                    for i, (sample, target, *_) in enumerate(problems)
                ],
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


def questions(runs: Sequence[Run], problems: Sequence[Problem], key: Key) -> Iterator[tuple[int, str]]:
    """The place of a problem and what it asks, once for each that a run has recorded."""
    places = {problem: place for place, problem in enumerate(problems)}
    for run in runs:
        asked = read_questions(run.folder.path) if places else {}
        for record in run.outcomes if asked else ():
            if record.sample in asked and (place := places.pop(key(record), None)) is not None:
                yield place, asked[record.sample]


def draws(
    outcomes: Sequence[Record], names: Sequence[str], problems: Sequence[Problem], key: Key
) -> list[list[list[Any]]]:
    """The draw and the name of each problem's completions."""
    found: dict[Problem, list[list[Any]]] = {problem: [] for problem in problems}
    for record, name in zip(outcomes, names, strict=True):
        found[key(record)].append([record.draw, name])
    return list(found.values())


def first_loops(outcomes: Iterable[Record], problems: Sequence[Problem], key: Key) -> list[int]:
    """Which draw of each problem is the first to end in a loop; 0 where none does."""
    looping: dict[Problem, list[bool]] = {problem: [] for problem in problems}
    for record in outcomes:
        looping[key(record)].append(record.loop_onset is not None)
    return [found.index(True) if any(found) else 0 for found in looping.values()]


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
