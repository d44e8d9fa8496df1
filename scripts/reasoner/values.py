"""Where the reasoner keeps large value ranges, and what losing them does: values*.csv beside the model.

python scripts/reasoner/values.py [--problems 64] [--device cuda]

After half of its own dense chain a row loses a share of its slots once: those of largest value range, of smallest, or
random ones, in every layer and KV head; the recent 16 and 4 sinks stay. Then it goes on with a full cache.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

import torch
from data import load_task
from evaluation import read_prompts
from kvarena.methods.budget import Budget
from kvarena.methods.evict_large import EvictLarge
from kvarena.methods.full import Full
from kvarena.methods.policy import Eviction, LayerView, Policy
from kvarena.methods.random import Random
from kvarena.runners.generate import Decoder, Generation, Request
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.loops import terminal_loop
from kvarena.runners.model import Model, Tokenizer
from kvarena.runners.profile.value_ranges import top_share, value_ranges_of
from kvarena.runners.record import LineParser, positive
from kvarena.runners.sampler import Greedy
from kvarena.tasks.task import Task
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

TASKS = ("graph_search", "assignments", "addition", "sorting", "coloring", "deduction")
FOLDER = Path(__file__).parents[2] / "models" / "reasoner"
LARGE = 0.05  # the share of slots that counts as large
LOST = (0.05, 0.2)


class EvictSmall(EvictLarge):
    """The other end: the smallest ranges go."""

    def score(self, view: LayerView) -> Tensor:
        return view.constants[..., 0]


def decode_requests(
    model: Model, requests: Sequence[Request], policy: Policy, max_tokens: int
) -> dict[str, Generation]:
    options = dict(
        model=model,
        policy=policy,
        sampler=Greedy(),
        max_tokens=max_tokens,
        longest_prompt=max(len(request.prompt) for request in requests),
        batch_size=len(requests),
    )
    on_gpu = model.device.type == "cuda"
    decoder = GraphDecoder(**options) if on_gpu else Decoder(**options)
    return {done.sample: done for done in decoder.run(requests)}


def losers(length: int, lost: float) -> dict[str, Eviction]:
    budget = Budget(tokens=length - round(lost * length), recent=16, sinks=4, interval=10**6, prefill=True)
    kinds = {"largest": EvictLarge, "smallest": EvictSmall, "random": Random}
    return {name: kind(budget=budget) for name, kind in kinds.items()}


def lose_and_go_on(
    model: Model, tokenizer: Tokenizer, task: Task, prompts: dict[str, list[int]], dense: dict[str, Generation]
) -> Iterable[dict[str, object]]:
    """Rows of values_lost.csv; only problems whose dense chain is longer than half the mean."""
    length = task.dense_length // 2
    samples = {sample.id: sample for sample in task.samples[: len(prompts)]}
    chains = {name: prompts[name] + dense[name].token_ids for name in prompts}
    requests = [Request(name, 0, chain[:length]) for name, chain in chains.items() if len(chain) > length + 16]
    for lost in LOST:
        for victims, policy in losers(length, lost).items():
            outcomes = []
            for name, done in decode_requests(model, requests, policy, task.max_tokens - length).items():
                completion = [*chains[name][len(prompts[name]) : length], *done.token_ids]
                text = tokenizer.decode(completion, skip_special_tokens=True)
                grade = task.grader(text, samples[name].target, samples[name].meta)
                outcomes.append((grade.score, terminal_loop(completion) is not None, done.stop != "eos"))
            accuracy, loops, truncated = (round(mean(column), 4) for column in zip(*outcomes, strict=True))
            yield {
                **{"task": task.name, "lost": lost, "victims": victims, "problems": len(outcomes)},
                **{"accuracy": accuracy, "loops": loops, "truncated": truncated},
            }


def write_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def main() -> None:
    parser = LineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=positive, default=64)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    options = parser.parse_args()
    device = find_device(options.device)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    shares, large, everywhere, chains = [], Counter(), Counter(), {}
    for name in options.tasks:
        task = load_task(name, "medium")
        samples = task.samples[: options.problems]
        prompts = dict(zip([s.id for s in samples], read_prompts(task, tokenizer, options.problems), strict=True))
        requests = [Request(sample, 0, prompt) for sample, prompt in prompts.items()]
        dense = decode_requests(model, requests, Full(), task.max_tokens)
        chains[name] = task, prompts, dense
        for sample, prompt in prompts.items():
            tokens = prompt + dense[sample].token_ids
            values, words = value_ranges_of(model, tokens), tokenizer.convert_ids_to_tokens(tokens)
            shares.append(torch.stack([top_share(values, 0.01), top_share(values, LARGE)]))
            everywhere.update(words)
            for layer, slots in enumerate(values.topk(round(LARGE * len(words)), -1).indices):
                large.update((layer, words[slot]) for slot in slots.flatten().tolist())
    by_layer = torch.stack(shares).mean(0).T.tolist()
    write_rows(
        options.output / "values.csv",
        [{"layer": i, "top_1_percent": round(a, 4), "top_5_percent": round(b, 4)} for i, (a, b) in enumerate(by_layer)],
    )
    write_rows(
        options.output / "values_tokens.csv", list(token_rows(large, everywhere, model.config.num_hidden_layers))
    )
    lost = []
    for task, prompts, dense in chains.values():
        lost += list(lose_and_go_on(model, tokenizer, task, prompts, dense))
        print(*lost[-3 * len(LOST) :], sep="\n", flush=True)
        write_rows(options.output / "values_lost.csv", lost)


def token_rows(large: Counter, everywhere: Counter, num_layers: int) -> Iterable[dict[str, object]]:
    """For each layer the eight tokens that hold most of its large slots, beside their share of all tokens."""
    for layer in range(num_layers):
        here = Counter({word: count for (at, word), count in large.items() if at == layer})
        for word, count in here.most_common(8):
            yield {
                **{"layer": layer, "token": word, "share_of_large": round(count / here.total(), 4)},
                "share_of_all": round(everywhere[word] / everywhere.total(), 4),
            }


if __name__ == "__main__":
    run_script(main)
