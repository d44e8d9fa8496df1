"""How often the intervals of analysis/intervals.py hold the truth, and how wide they are beside a bootstrap's.

    python scripts/coverage.py [--studies 2000] [--output analysis/results/coverage.csv]

A study draws problems from a population, each with its chance of a right answer, and the verdicts of its draws. What it
estimates is known: the mean of the population, or the mean difference of two methods on the same problems. Shapes:
[studies, problems].
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kvarena.analysis.intervals import TAIL, Interval, of_difference, of_share
from kvarena.runners.job.errors import run_script
from kvarena.runners.record import LineParser, make_folder, positive, replace_file
from scipy.stats import beta, norm, t

Chances = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
Pair = Callable[[np.random.Generator, np.ndarray], np.ndarray]  # chances of the second method from those of the first

OUTPUT = Path(__file__).parents[1] / "analysis/results/coverage.csv"
CONCENTRATIONS = (0.3, 1.0, 3.0)
MEANS = (0.05, 0.2, 0.5, 0.8, 0.95)
SIZES = ((30, 16), (30, 4), (30, 1), (64, 16), (198, 16))  # problems, draws
RESAMPLES = 1000
LESS = 0.7  # log-odds by which the mean of a second method is lower
NUM_TRUTH = 300_000


def populations() -> Iterator[tuple[str, float, Chances]]:
    """Name, mean and chances."""
    for concentration in CONCENTRATIONS:
        for mean in MEANS:
            shape = concentration * mean, concentration * (1 - mean)
            yield f"Beta, {concentration:g}", mean, lambda rng, size, shape=shape: rng.beta(*shape, size)
    yield "90 % at 1, 10 % at .5", 0.95, lambda rng, size: np.where(rng.random(size) < 0.9, 1.0, 0.5)
    yield "95 % at 1, 5 % at 0", 0.95, lambda rng, size: np.where(rng.random(size) < 0.95, 1.0, 0.0)


def pairs(name: str, mean: float, chances: Chances) -> dict[str, Pair]:
    """Second methods, each on the problems of the first."""
    found: dict[str, Pair] = {
        "as good on each problem": lambda rng, p: p,
        "as good on other problems": lambda rng, p: chances(rng, p.shape),
        "p to the power of 1.5": lambda rng, p: p**1.5,
        "8 of 10 right ones": lambda rng, p: 0.8 * p,
        "never right": lambda rng, p: np.zeros_like(p),
        "loses a fifth of the problems": lambda rng, p: np.where(rng.random(p.shape) < 0.8, p, 0.0),
    }
    if name.startswith("Beta"):
        concentration = float(name.split()[-1])
        lower = 1 / (1 + np.exp(LESS - np.log(mean / (1 - mean))))
        ours, theirs = ((concentration * m, concentration * (1 - m)) for m in (mean, lower))
        found["same order, lower mean"] = lambda rng, p: beta.ppf(beta.cdf(p, *ours), *theirs)
    return found


def bootstrap(values: np.ndarray, low: float, high: float) -> Interval:
    """Percentiles over problems, the tails widened as Student's interval is: what stood here before."""
    n = values.shape[-1]
    quantile = norm.cdf(t.ppf(TAIL, n - 1) * np.sqrt(n / (n - 1)))
    ends = np.quantile(values @ weights(n), [quantile, 1 - quantile], axis=-1)
    alike = values.min(-1) == values.max(-1)
    constant = of_wilson(values.mean(-1), n, low, high)
    return np.where(alike, constant[0], ends[0]), np.where(alike, constant[1], ends[1])


def of_wilson(mean: np.ndarray, n: int, low: float, high: float) -> Interval:
    share = norm.ppf(TAIL) ** 2 / (n + norm.ppf(TAIL) ** 2)
    return mean - share * (mean - low), mean + share * (high - mean)


@cache
def weights(n: int) -> np.ndarray:
    """[problems, resamples]"""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).T / n


def row(truth: float, ours: Interval, before: Interval) -> dict[str, float]:
    held = [np.mean((low <= truth + 1e-9) & (truth - 1e-9 <= high)) for low, high in (ours, before)]
    widths = [np.mean(high - low) for low, high in (ours, before)]
    names = ("coverage", "bootstrap_coverage", "width", "bootstrap_width")
    return dict(zip(names, map(float, (*held, *widths)), strict=True)) | {"width_ratio": float(widths[0] / widths[1])}


def studies(num: int, n: int, draws: int) -> Iterator[dict[str, Any]]:
    for name, mean, chances in populations():
        rng = np.random.default_rng(0)
        labels = {"problems": n, "draws": draws, "population": name, "mean": mean}
        chance = chances(rng, (num, n))
        a = rng.binomial(draws, chance) / draws
        yield labels | {"of": "one method"} | row(mean, of_share(a), bootstrap(a, 0.0, 1.0))
        perfect = np.ones_like(a)
        beside = row(1 - mean, of_difference(perfect, a), bootstrap(perfect - a, -1.0, 1.0))
        yield labels | {"of": "beside one always right"} | beside
        for pair, second in pairs(name, mean, chances).items():
            b = rng.binomial(draws, second(rng, chance)) / draws
            many = chances(rng, (NUM_TRUTH,))
            truth = 0.0 if pair.startswith("as good") else float(np.mean(many - second(rng, many)))
            yield labels | {"of": pair} | row(truth, of_difference(a, b), bootstrap(a - b, -1.0, 1.0))


def main() -> None:
    parser = LineParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--studies", type=positive, default=2000, help="of each cell")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE")
    arguments = parser.parse_args()
    make_folder(arguments.output.parent, "the folder of --output")
    rows = [line for n, draws in SIZES for line in studies(arguments.studies, n, draws)]
    replace_file(arguments.output, pd.DataFrame(rows).round(4).to_csv(index=False))
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    run_script(main)
