"""How free completions end after a row has lost some slots once, at the end of its prompt."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from dense_texts import Work
from kvarena.analysis.stats import estimate
from kvarena.methods.budget import Budget
from kvarena.methods.evict_large import EvictLarge
from kvarena.methods.full import Full
from kvarena.methods.policy import Policy
from kvarena.methods.random import Random
from kvarena.runners.generate import Request
from kvarena.runners.loops import terminal_loop
from losing import DRAWS, LOST, RECENT, SINKS

VICTIMS = {"largest": (EvictLarge, 1), "random": (Random, DRAWS)}


def endings(work: Work, texts: Sequence[Request], cut: int, max_tokens: int) -> Iterator[dict[str, object]]:
    """A row for dense and for each kind and number of victims; `texts` are those of `work`, cut."""
    begun = {text.sample: len(text.prompt) for text in work.texts}
    yield {"lost": 0.0, "victims": "none"} | ends(work, Full(), texts, begun, max_tokens)
    for share in LOST:
        for name, (policy, draws) in VICTIMS.items():
            tokens = cut - max(1, round(share * cut))
            budget = Budget(tokens=tokens, recent=RECENT, sinks=SINKS, interval=0, prefill=True)
            requests = [text._replace(draw=draw) for text in texts for draw in range(draws)]
            yield {"lost": share, "victims": name} | ends(work, policy(budget=budget), requests, begun, max_tokens)


def ends(
    work: Work, policy: Policy, requests: Sequence[Request], begun: Mapping[str, int], max_tokens: int
) -> dict[str, object]:
    """Share of completions that end in a loop, with its interval over texts, and of those without an end."""
    said = {request.sample: request.prompt[begun[request.sample] :] for request in requests}
    free, loops, cut_short = [request._replace(completion=()) for request in requests], defaultdict(list), []
    for done in work.decoder(policy, free, max_tokens).run(free):
        loops[done.sample,].append(float(terminal_loop([*said[done.sample], *done.token_ids]) is not None))
        cut_short.append(done.stop != "eos")
    share = estimate({sample: fmean(draws) for sample, draws in loops.items()})
    names = ("loops", "loops_low", "loops_high")
    rounded = {name: round(value, 4) for name, value in zip(names, share, strict=True)}
    return {"texts": len(loops), **rounded, "truncated": round(fmean(cut_short), 4)}
