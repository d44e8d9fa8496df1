"""Time of an eviction of each method against one decode step of the reasoner, on the CPU.

    python scripts/speed/eviction.py --output analysis/benchmarks/eviction_cpu.csv

Random tokens as long as the budget, all rows alike, so that they are due together; one round is all rows and layers.
Times are CPU time of one thread: what the process waits for others does not count. Methods take turns, several times
over, so that a busy minute of the machine does not fall on one of them; the first round of a turn is left out.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import hydra
import pandas as pd
import torch
from kvarena.methods.policy import Policy
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.provenance import commit
from kvarena.runners.model import Checkpoint, Model
from kvarena.runners.record import LineParser, make_folder, positive, replace_file
from kvarena.runners.sampler import Greedy


@dataclass(kw_only=True)
class Timed(Decoder):
    """Keeps the CPU time of its steps and rounds, in seconds."""

    step_s: list[float] = field(default_factory=list)
    round_s: list[float] = field(default_factory=list)

    def launch(self, count: int) -> None:
        start = time.process_time()
        super().launch(count)
        self.step_s.append((time.process_time() - start) / count)

    def evict(self, rows: Sequence[int]) -> None:
        start = time.process_time()
        super().evict(rows)
        self.round_s.append(time.process_time() - start)


def policy_of(method: str, tokens: int, recent: int, interval: int) -> Policy:
    settings = {"tokens": tokens, "recent": recent, "interval": interval}
    overrides = [f"compression.{name}={value}" for name, value in settings.items()]
    with hydra.initialize_config_module("kvarena.conf", version_base="1.3"):
        return hydra.utils.instantiate(hydra.compose("evaluate", [f"method={method}", *overrides]).method)


def take_turn(model: Model, policy: Policy, tokens: int, batch_size: int, num_steps: int) -> Timed:
    """Decode so many steps from a prompt of `tokens` on."""
    decoder = Timed(
        model=model,
        policy=policy,
        sampler=Greedy(),
        max_tokens=num_steps + 2,
        longest_prompt=tokens,
        batch_size=batch_size,
    )
    prompt = torch.randint(3, model.config.vocab_size, (tokens,), generator=torch.Generator().manual_seed(0)).tolist()
    assert all(done.stop == "length" for done in decoder.run(Request(str(row), 0, prompt) for row in range(batch_size)))
    return decoder


def measure_evictions(methods: Sequence[str], options: argparse.Namespace) -> pd.DataFrame:
    """A row a method: quartiles over the rounds of all turns, the median step, and what they make together."""
    tokens, interval, (code, _) = options.tokens, options.interval, commit()
    model = Checkpoint(name="reasoner", dtype="float32").load(torch.device("cpu"))
    model.generation_config.eos_token_id = model.config.vocab_size  # which no row can say
    policies = {method: policy_of(method, tokens, options.recent, interval) for method in methods}
    steps, times = ({method: [] for method in methods} for _ in range(2))
    for _ in range(options.turns):
        for method, policy in policies.items():
            decoder = take_turn(model, policy, tokens, options.batch_size, interval * options.rounds)
            steps[method] += decoder.step_s[1:]
            times[method] += decoder.round_s[1:]
    rows = []
    for method in methods:
        step, rounds = 1e3 * pd.Series(steps[method]).median(), 1e3 * pd.Series(times[method], dtype=float)
        low, median, high = rounds.quantile([0.25, 0.5, 0.75])
        rows.append(
            {
                "method": method,
                "step_ms": step,
                "round_ms": median,
                "round_ms_q25": low,
                "round_ms_q75": high,
                "round_per_step": median / step,
                "share_of_decoding": median / (median + interval * step),
                "num_rounds": len(rounds),
            }
        )
    table = pd.DataFrame(rows).sort_values(["round_ms", "method"], na_position="first")
    same = {
        "model": "reasoner",
        "batch_size": options.batch_size,
        "tokens": tokens,
        "recent": options.recent,
        "interval": interval,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "commit": code,
    }
    return table.assign(**same)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", help="names, with commas between; all")
    parser.add_argument("--tokens", type=positive, default=351, help="budget; half of a graph_search problem at medium")
    parser.add_argument("--recent", type=positive, default=16)
    parser.add_argument("--interval", type=positive, default=16)
    parser.add_argument("--batch-size", type=positive, default=8)
    parser.add_argument("--rounds", type=positive, default=6, help="of a turn, the first left out")
    parser.add_argument("--turns", type=positive, default=3)
    parser.add_argument("--output", type=Path, help="a CSV; without it the table is only printed")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    every = sorted(file.name.removesuffix(".yaml") for file in (resources.files("kvarena.conf") / "method").iterdir())
    names = (
        options.methods.split(",")
        if options.methods
        else [name for name in every if name not in ("watched", "kvpress")]
    )
    if options.output:
        make_folder(options.output.parent, "the folder of --output")
    table = measure_evictions(names, options)
    if options.output:
        replace_file(options.output, table.to_csv(index=False, float_format="%.4g"))
    print(table.iloc[:, :8].to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    run_script(main)
