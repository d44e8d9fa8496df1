"""`kvarena-report --compare A B`: two runs, paired by problem, and the problems that flipped."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .likeness import shared, unlike
from .load import Run, load
from .setting import title
from .stats import Estimate, Problem, difference, estimate

SOLVED = 0.5  # a problem counts as solved from this share of its draws on


def compare_runs(a: Path, b: Path) -> str:
    one, other = only_run(a), only_run(b)
    likeness = unlike(one, other)
    lines = [f"A  {run_title(one)}", f"B  {run_title(other)}"]
    if likeness.unknown:
        lines.append(f"not recorded: {', '.join(likeness.unknown)}")
    if likeness.differs:
        return "\n".join([*lines, "", *apart(one, other, likeness.differs)]) + "\n"
    scores, looping = shared(one, other, "verdicts"), shared(one, other, "looping")
    graded, all_of = (
        f"(A has {len(a)}, B has {len(b)})" for a, b in ((one.scores, other.scores), (one.loops, other.loops))
    )
    lines += ["", *side_by_side("pass@1", graded, *scores), "", *side_by_side("loop rate", all_of, *looping), ""]
    return "\n".join([*lines, *flips(*scores)]) + "\n"


def apart(one: Run, other: Run, differs: Sequence[str]) -> list[str]:
    """Two runs that are not paired, since more than their method is different."""
    lines = [f"not paired, for they are unlike: {', '.join(differs)}"]
    for name, (a, b) in {"pass@1": (one.scores, other.scores), "loop rate": (one.loops, other.loops)}.items():
        lines += ["", name, f"  A      {written(estimate(a))}", f"  B      {written(estimate(b))}"]
    return lines


def only_run(path: Path) -> Run:
    runs = load(path)
    if len(runs) > 1:
        raise ValueError(f"{path} holds {len(runs)} runs: give the folder of one, such as {path / runs[0].name}")
    return runs[0]


def run_title(run: Run) -> str:
    labels = run.labels
    budget = f", {labels.ratio:.3g}x, {labels.tokens} tokens" if labels.tokens else ""
    state = "" if run.is_whole else f", incomplete {len(run.outcomes)}/{run.num_planned}"
    return f"{labels.named} on {title(*run.setting)}{budget}{state}"


def side_by_side(name: str, sizes: str, one: Mapping[Problem, float], other: Mapping[Problem, float]) -> list[str]:
    pair = difference(one, other)
    if not pair.num_common:
        return [f"{name}: no problem in common {sizes}"]
    shared = {problem for problem in one if problem in other}
    return [
        f"{name}, {pair.num_common} problems in common {sizes}",
        f"  A      {written(estimate({p: one[p] for p in shared}))}",
        f"  B      {written(estimate({p: other[p] for p in shared}))}",
        f"  A - B  {written(pair.estimate)}, sign-flip p = {pair.p:.2g}",
    ]


def written(found: Estimate) -> str:
    return f"{found.value:6.3f} [{found.low:.3f}, {found.high:.3f}]"


def flips(a: Mapping[Problem, float], b: Mapping[Problem, float]) -> list[str]:
    """The problems that one run solves and the other does not."""
    common = sorted(a.keys() & b.keys())
    found = []
    for name, winner, loser in (("A", a, b), ("B", b, a)):
        won = [problem for problem in common if winner[problem] >= SOLVED > loser[problem]]
        found.append(f"solved by {name} alone: {len(won)}")
        found += [f"  {problem[0]}  {a[problem]:.2f} {b[problem]:.2f}" for problem in won]
    return found
