"""What a certificate is worth: the error that each step states beside the true one, on a model's own chains.

    python scripts/real/certificate.py MODEL TEXTS OUTPUT.csv [--methods vase_attnv,random] [--ratios 2,4] [--texts 32]

MODEL is a folder in Hugging Face format. TEXTS is the folder of a run of method=full, or a file of chains as
kvarena-fidelity takes it; they are forced. At each step, attention over what is kept is compared with attention over
all tokens, on the same queries, keys and values. A row a method and ratio, of the steps behind a text's first round:

  covered         steps and layers whose error is at most twice what is stated, a part; covered_low, _high over texts
                  drawn anew
  mean_square     squared errors over the squares stated, both summed: 1 where the variance is right on average
  rank            Spearman's correlation over all steps, means over layers; rank_low, rank_high over texts drawn anew
  rank_in_text    the same within a text, mean over texts
  error, stated   mean over steps and layers
  error_plain     the error of the method alone, whose survivors weigh as they are
  covered_linear, mean_square_linear   if the usual linear form of the variance were stated
  covered_sums, mean_square_sums       of sums over the survivors, each by its chance, before the softmax divides them
                  by their weight: 1 where chances and variance are right, whatever that division does
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import hydra
import numpy as np
import pandas as pd
import torch
from dense_texts import Work, read_texts
from kvarena.methods.policy import Policy
from kvarena.runners.fidelity import Scribe
from kvarena.runners.generate import Decoder
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.model import Checkpoint
from kvarena.runners.record import LineParser, positive
from kvarena.runners.sampler import Greedy
from mechanism import write_as_they_come
from scipy.stats import spearmanr
from whole_cache import Missed, WholeCache

DRAWN = 200  # times that texts are drawn anew


def method_of(*words: str) -> Policy:
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        return hydra.utils.instantiate(hydra.compose("evaluate", list(words)).method)


def says_the_texts(work: Work, policy: Policy, seed: int) -> Decoder:
    """Says the texts; eager, for what is compared at each step no graph holds."""
    longest = max(len(text.completion) for text in work.texts)
    scribe = Scribe(work.model, batch_size=len(work.texts), longest=longest)
    return Decoder(
        model=work.model,
        policy=policy,
        sampler=Greedy(),
        max_tokens=longest,
        longest_prompt=max(len(text.prompt) for text in work.texts),
        batch_size=len(work.texts),
        teacher=scribe,
        seed=seed,
    )


def misses(work: Work, policy: Policy, seed: int) -> pd.DataFrame:
    """A row a text, step and layer behind the first round."""
    decoder = says_the_texts(work, policy, seed)
    seen = WholeCache(decoder)
    first = [0] * len(work.texts)
    for done in decoder.run(work.texts):
        place = next(i for i, text in enumerate(work.texts) if text.key == (done.sample, done.draw))
        steps = done.usage.eviction_steps
        first[place] = len(work.texts[place].prompt) + steps[0] - 1 if steps else decoder.cache.longest
    table = pd.DataFrame(seen.found, columns=Missed._fields)
    return table[table["position"] >= table["row"].map(dict(enumerate(first)))]


def worth(table: pd.DataFrame, rng: np.random.Generator) -> dict[str, float]:
    texts = [part for _, part in table.groupby("row")]
    steps = [part.groupby("position")[["error", "estimate"]].mean() for part in texts]
    drawn = rng.integers(len(texts), size=(DRAWN, len(texts)))
    ranks = [rank(pd.concat([steps[i] for i in some])) for some in drawn]
    inside = np.array([[(part["error"] <= 2 * part["estimate"]).sum(), len(part)] for part in texts])
    shares = [float(count / of) for count, of in inside[drawn].sum(1)]
    return {
        "texts": len(texts),
        "steps": sum(map(len, steps)),
        "covered": covered(table, "error", "estimate"),
        **spread_of(shares, "covered"),
        "mean_square": mean_square(table, "error", "estimate"),
        "rank": rank(pd.concat(steps)),
        **spread_of(ranks, "rank"),
        "rank_in_text": fmean(rank(part) for part in steps if len(part) > 2),
        "error": float(table["error"].mean()),
        "stated": float(table["estimate"].mean()),
        "covered_linear": covered(table, "error", "linear"),
        "mean_square_linear": mean_square(table, "error", "linear"),
        "covered_sums": covered(table, "sum_error", "sum_estimate"),
        "mean_square_sums": mean_square(table, "sum_error", "sum_estimate"),
    }


def covered(table: pd.DataFrame, error: str, said: str) -> float:
    return float((table[error] <= 2 * table[said]).mean())


def mean_square(table: pd.DataFrame, error: str, said: str) -> float:
    return float(table[error].pow(2).sum() / table[said].pow(2).sum())


def spread_of(drawn: Sequence[float], name: str) -> dict[str, float]:
    return {f"{name}_low": float(np.quantile(drawn, 0.025)), f"{name}_high": float(np.quantile(drawn, 0.975))}


def rank(steps: pd.DataFrame) -> float:
    return float(spearmanr(steps["error"], steps["estimate"]).statistic)


def rows(work: Work, methods: Sequence[str], ratios: Sequence[float], window: int) -> Iterator[dict[str, object]]:
    length = fmean(len(text.prompt) + len(text.completion) for text in work.texts)
    for ratio in ratios:
        for name in methods:
            words = [f"compression.{key}={value}" for key, value in (("recent", window), ("interval", window))]
            words.append(f"compression.tokens={round(length / ratio)}")
            table = misses(work, method_of("method=certificate", f"method@method.of={name}", *words), seed=0)
            plain = misses(work, method_of(f"method={name}", *words), seed=0)
            numbers = worth(table, np.random.default_rng(0)) | {"error_plain": float(plain["error"].mean())}
            yield {"method": name, "ratio": ratio} | {key: float(f"{value:.4g}") for key, value in numbers.items()}


@torch.inference_mode()
def main(argv: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("chains", type=Path, metavar="TEXTS")
    parser.add_argument("output", type=Path)
    parser.add_argument("--methods", default="vase_attnv,snapkv_sample,attn_random,random")
    parser.add_argument("--ratios", type=ratios_of, default="2,4")
    parser.add_argument("--window", type=positive, default=16, help="recent slots, and steps between two rounds")
    parser.add_argument("--texts", type=positive, default=32, help="the first so many")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(argv)
    checkpoint = Checkpoint(name="model", path=str(options.model), dtype="float32")
    texts = read_texts(options.chains, checkpoint, options.texts)
    work = Work(checkpoint.load(find_device(options.device)), texts)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_as_they_come(options.output, rows(work, options.methods.split(","), options.ratios, options.window))


def ratios_of(text: str) -> list[float]:
    """With commas between."""
    try:
        ratios = [float(each) for each in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: use numbers with commas between, such as 2,4") from error
    if not min(ratios) >= 1:
        raise argparse.ArgumentTypeError(f"{text!r} has a ratio below 1")
    return ratios


if __name__ == "__main__":
    run_script(main)
