"""A tiny model over several ranks and on one: what every method keeps and says, a line a case in FOLDER/equal.csv.

    torchrun --nproc-per-node=2 tests/runners/parallel/ranks_and_one.py FOLDER [--graphs] [--kinds] [NAME ...]

Float32; in CPU processes, or with --graphs on GPUs, in CUDA graphs. Of no NAME all methods, with
--kinds those that reduce over heads, and of the others one of each way to ask a cache. Status 1: a case differs.
"""

import argparse
import csv
import math
import pickle
import sys
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from kvarena.contract.decoding import request
from kvarena.contract.policies import ours, policy_of, storage_of
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.methods.policy import Policy
from kvarena.runners.cache import KVCache, Storage
from kvarena.runners.generate import Decoder
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.graphs.decoder import forwards
from kvarena.runners.graphs.fused import FusedLayer, fuse
from kvarena.runners.model import Model, decoder_layers
from kvarena.runners.parallel import ALONE, Ranks, meet, split_over
from kvarena.runners.sampler import Greedy, Sampling
from torch import Tensor

SIZES = dict(num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4)
OF_TWO_LAYERS = {"reasonalloc": ["method.demand=[1,4]"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "qwen2": dict(hidden_size=128),
    "llama": dict(hidden_size=128, attention_bias=True),  # a bias of the output projection
    "llama_mlp": dict(hidden_size=128, attention_bias=True, mlp_bias=True),  # which no fused layer has
    "qwen3_tied": dict(tie_word_embeddings=True),
}
# that compete over heads otherwise, ask the model for more, or store codes
OTHERS = (
    "adakv method.ceiling=1.5",
    "adakv method@method.of=pyramid",
    "snapkv method.weight._target_=kvarena.methods.weight.ByOutput",
    "random method.shared_heads=true",
    "adakv cache=int8 cache.keys.group=8 cache.values.group=8 cache.residual=4",
    "quest cache=fp8",
)
OF_EACH_FAMILY = ("adakv", "vase_attnv")
OVER_HEADS = ("adakv", "reasonalloc", "tova", "rpc", "longflow")  # docs/engine.md
REQUESTS = [request("long"), request("middle", 22), request("short", 3)]
TOKENS = 12  # of a completion: two rounds of the first, one of the second
TIED = 2e-6  # of a head's largest score: 17 steps of float32; what is no tie lies 1e-5 and more apart
# of a logit: the ranks' sums are in another order, and what lies between two codes may fall to either
ALLOWED, PACKED = 1e-3, 2e-2


class Case(NamedTuple):
    name: str
    family: str
    policy: Policy
    storage: Storage
    sampler: Any
    rows: int = 3


class Round(NamedTuple):
    """Of a row, after so many tokens of its completion; by layer and head."""

    sample: str
    tokens: int
    kept: list[list[list[int]]]  # positions
    scores: list[list[dict[int, float]]]  # of the slots that it might have dropped, where scores alone decide


class Kept(NamedTuple):
    """Of one case, by the heads of a rank."""

    tokens: dict[str, list[int]]
    usage: dict[str, Any]
    errors: list[float]  # that steps state of their attention
    rounds: list[Round]
    logits: Tensor  # of every choice that no graph makes
    cache_bytes: int


def cases(names: list[str], kinds: bool) -> list[Case]:
    """All methods with one family, and a few with the others; `kinds`: of the methods a few too."""

    def case(method: str, family: str = "qwen3", sampler: Any = None) -> Case:
        name, *words = method.split()
        packs = any(word.startswith("cache") for word in words)
        words += OF_TWO_LAYERS.get(name, [])
        policy, storage = policy_of(method) if packs else policy_of(name, *words), storage_of(method if packs else name)
        return Case(f"{method} {family}", family, policy, storage, sampler or Greedy())

    def asked(method: str) -> bool:
        return not names or method.split()[0] in names

    found = [case(method) for method in splittable() if asked(method)]
    if kinds:
        found = of_each_kind(found)
    others = [(method, "qwen3") for method in OTHERS]
    others += [(method, family) for family in [*FAMILIES][1:] for method in OF_EACH_FAMILY]
    others += [("vase_attnv", f"{family}_fused") for family in FAMILIES if family != "llama_mlp"]
    found += [case(method, family) for method, family in others if asked(method)]
    if asked("vase_dkv"):
        sampler = Sampling(temperature=0.8, top_k=20, repetition_penalty=1.2)
        found.append(case("vase_dkv", sampler=sampler)._replace(rows=2))
    return found


def splittable() -> list[str]:
    """All of ours but presses, which see a whole attention module and are refused."""
    return [method for method in ours() if method.split()[0] != "kvpress"]


def of_each_kind(methods: list[Case]) -> list[Case]:
    """Those that reduce over heads, and of what is asked of a cache and done to it the first that does so."""
    first: dict[Any, Case] = {case.name.split()[0]: case for case in methods if case.name.split()[0] in OVER_HEADS}
    for case in methods:
        policy = case.policy
        first.setdefault((policy.needs, policy.evicts, policy.selects, policy.stochastic, policy.uneven), case)
    return [case for case in methods if any(case is chosen for chosen in first.values())]


def model_of(family: str, device: torch.device) -> Model:
    model = build_tiny_model(family.split("_")[0], **(SIZES | FAMILIES[family.removesuffix("_fused")]))
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.5, generator=rng)
    return model.to(device)


class Fused(Decoder):
    """The layers of engine=graphs, without a graph."""

    def fit_layers(self) -> None:
        fuse(self.model)
        self.layers = {layer: FusedLayer.of(layer, self.ranks) for layer in decoder_layers(self.model)}

    def single_tokens(self) -> AbstractContextManager[None]:
        return forwards(self.layers)

    def step(self) -> None:
        with self.single_tokens():
            super().step()


def observed(engine: type[Decoder]) -> type[Any]:
    """A decoder that notes what its rounds leave, and the logits that it chooses by outside of graphs."""

    class Observed(engine):  # type: ignore[valid-type,misc]
        def __post_init__(self) -> None:
            self.rounds, self.logits = [], []
            super().__post_init__()

        def choose(self, seen: Tensor, *others: Any) -> Tensor:
            if engine is not GraphDecoder or seen.shape[0] == 1:  # the first token is chosen outside of a graph
                self.logits.append(seen.float().cpu())
            return super().choose(seen, *others)

        def evict(self, rows: list[int]) -> None:
            scores = scored(self.cache, rows)
            super().evict(rows)
            for row, known in zip(rows, scores, strict=True):
                layers = [(layer.positions[row].tolist(), layer.lengths[row].tolist()) for layer in self.cache.layers]
                kept = [[sorted(head[:n]) for head, n in zip(*one, strict=True)] for one in layers]
                clock = self.cache.clocks[row]
                tokens = clock.position - clock.prompt
                self.rounds.append(Round(self.running[row].request.sample, tokens, kept, known))

    return Observed


def scored(cache: KVCache, rows: list[int]) -> list[list[list[dict[int, float]]]]:
    """By row, layer and head the scores of what may go, by position; empty where they do not decide alone."""
    policy, facts, layers = cache.policy, cache.facts(rows), range(len(cache.layers))
    if not policy.by_score:
        return [[[{}] * cache.shape.heads for _ in layers] for _ in rows]
    views = [cache.view(layer, facts) for layer in layers]
    scores = [policy.score(view) for view in views]

    def head(layer: int, row: int, index: int) -> dict[int, float]:
        may = views[layer].evictable[row, index]
        of = (one[row, index][may].tolist() for one in (views[layer].positions, scores[layer]))
        return dict(zip(*of, strict=True))

    return [[[head(i, row, h) for h in range(scores[i].shape[1])] for i in layers] for row in range(len(rows))]


def decoded(case: Case, model: Model, ranks: Ranks, engine: type[Decoder]) -> Kept:
    decoder = observed(engine)(
        model=model,
        policy=case.policy,
        sampler=case.sampler,
        storage=case.storage,
        max_tokens=TOKENS,
        longest_prompt=40,
        batch_size=case.rows,
        ranks=ranks,
    )
    done = {each.sample: each for each in decoder.run(REQUESTS)}
    return Kept(
        tokens={sample: each.token_ids for sample, each in done.items()},
        usage={sample: each.usage._replace(attention_error=None) for sample, each in done.items()},
        errors=[error for sample in sorted(done) for error in done[sample].usage.attention_error or ()],
        rounds=decoder.rounds,
        logits=torch.cat(decoder.logits),
        cache_bytes=decoder.cache.nbytes,
    )


def compared(case: Case, parts: list[Kept], alone: Kept) -> dict[str, Any]:
    rounds = [joined(each) for each in zip(*(part.rounds for part in parts), strict=True)]
    parted = partings(rounds, alone.rounds)
    same = {sample: (parted[sample].tokens + 1 if sample in parted else None) for sample in alone.tokens}
    return dict(
        case=case.name,
        rounds=len(alone.rounds),
        positions=not parted,
        tie=max((each.gap for each in parted.values()), default=None),
        tokens=all(part.tokens[each][:end] == alone.tokens[each][:end] for part in parts for each, end in same.items()),
        usage=all(part.usage == alone.usage and alike(part.errors, alone.errors) for part in parts),
        logits=max((part.logits - alone.logits).abs().max().item() for part in parts),
        bytes=max(part.cache_bytes for part in parts) / alone.cache_bytes,
    )


def is_as_alone(case: Case, line: dict[str, Any]) -> bool:
    kept = line["positions"] or (line["tie"] <= TIED and not case.storage.packs)
    return kept and line["tokens"] and line["usage"] and line["logits"] <= (PACKED if case.storage.packs else ALLOWED)


class Parting(NamedTuple):
    """Of a sample, in the first round that keeps others than one rank alone does."""

    gap: float  # between scores of what one kept and the other dropped, of the head's largest; inf: none decided
    tokens: int


def partings(rounds: list[Round], alone: list[Round]) -> dict[str, Parting]:
    """By sample; of rounds after its first parting nothing is said, for it goes its own way."""
    parted = dict[str, Parting]()
    for own, other in zip(rounds, alone, strict=True):
        assert own[:2] == other[:2]
        if own.kept != other.kept and own.sample not in parted:
            heads = zip(*map(chain.from_iterable, (own.kept, other.kept, other.scores)), strict=True)
            parted[own.sample] = Parting(max(gap(*head) for head in heads), own.tokens)
    return parted


def gap(kept: list[int], others: list[int], scores: dict[int, float]) -> float:
    exchanged = set(kept) ^ set(others)
    if not exchanged:
        return 0.0
    if not exchanged <= scores.keys():
        return math.inf
    found = [scores[position] for position in exchanged]
    return (max(found) - min(found)) / max(map(abs, scores.values()))


def alike(errors: list[float], others: list[float]) -> bool:
    """Sums over heads come in another order."""
    return len(errors) == len(others) and all(abs(a - b) <= ALLOWED for a, b in zip(errors, others, strict=True))


def joined(parts: tuple[Round, ...]) -> Round:
    """The heads of each layer, those of rank 0 first."""
    kept = [[*chain(*heads)] for heads in zip(*(part.kept for part in parts), strict=True)]
    return parts[0]._replace(kept=kept, scores=[])


def models(family: str, ranks: Ranks, device: torch.device) -> tuple[Model, Model]:
    """Whole, and this rank's part."""
    whole, own = model_of(family, device), model_of(family, device)
    split_over(own, ranks)
    return whole, own


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--graphs", action="store_true")
    parser.add_argument("--kinds", action="store_true")
    given = parser.parse_intermixed_args(words)
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    store, rank, size = next(dist.rendezvous("env://"))
    device = torch.device("cuda" if given.graphs else "cpu")
    ranks = meet(rank, size, store, device)
    if ranks.first:
        given.folder.mkdir(parents=True, exist_ok=True)
        store.set("cases", pickle.dumps(cases(given.names, given.kinds)))
    differ, lines, family = list[Any](), list[Any](), None
    for case in pickle.loads(store.get("cases")):
        if given.graphs and case.family == "llama_mlp":
            continue
        if case.family != family:
            family = case.family
            whole, own = models(family, ranks, device)
            engine = GraphDecoder if given.graphs else Fused if family.endswith("_fused") else Decoder
        parts: list[Any] = [None] * size
        dist.all_gather_object(parts, decoded(case, own, ranks, engine))
        if ranks.first:
            lines.append(compared(case, parts, decoded(case, whole, ALONE, engine)))
            with (given.folder / "equal.csv").open("a", newline="") as file:
                table = csv.DictWriter(file, lines[0])
                if len(lines) == 1:
                    table.writeheader()
                table.writerow(lines[-1])
            line = lines[-1]
            if not is_as_alone(case, line):
                differ.append(line)
            if not is_as_alone(case, line) or line["tie"] is not None:
                print(line, flush=True)
    if ranks.first:
        print(f"{len(lines) - len(differ)} of {len(lines)} cases are as on one device", flush=True)
    dist.barrier()
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
