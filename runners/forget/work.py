"""What is measured on the texts of a job: marked spans by erasers or by layer, or what a method evicted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from hydra.utils import instantiate

from ..generate import Request
from ..job import Job
from ..model import Model, Tokenizer, inverse_frequencies, shape_of
from .departures import gone_from, of_method
from .eraser import Eraser
from .influence import Influence, Row
from .remembered import check_turns
from .spans import MarkedText, Span, joined

LEFT = 16  # tokens that a text says behind the cut, at least
Known = Mapping[str, Any]  # the keys of conf/forget.yaml
Text = TypeVar("Text")


class Work(NamedTuple):
    cuts: int  # texts and cuts that are long enough
    measure: Callable[[Model], Iterable[Row]]


def of_spans(requests: Sequence[Request], tokenizer: Tokenizer, known: Known, weights: Mapping[str, str]) -> Work:
    """ValueError for a span that a text has not, or where no method evicts, and for an eraser of another model."""
    span: Span = instantiate(known["span"])
    others = [*requests[1:], requests[0]]
    texts = [span.mark(text, other, tokenizer) for text, other in zip(requests, others, strict=True)]
    plan = [(text, text.cut(after, known["recent"]), len(text.tokens)) for text in texts for after in known["after"]]
    kept = long_enough(plan, known["after"])
    erasers: dict[str, Eraser] = {name: instantiate(each) for name, each in known["erasers"].items()}
    for eraser in erasers.values():
        eraser.check(weights)
    return Work(len(kept), partial(measure_spans, kept, erasers, known["by_layer"]))


def of_evicted(requests: Sequence[Request], job: Job, known: Known) -> Work:
    plan = [(text, len(text.prompt) + after, len(joined(text))) for text in requests for after in known["after"]]
    kept = long_enough(plan, known["after"])
    return Work(len(kept), partial(measure_evicted, kept, job))


def long_enough(plan: Sequence[tuple[Text, int, int]], after: Sequence[int]) -> list[tuple[Text, int]]:
    if not (kept := [(text, cut) for text, cut, length in plan if length > cut + LEFT]):
        raise ValueError(f"after={list(after)}: no text goes on {LEFT} tokens behind the cut, use smaller ones")
    return kept


def measure_spans(
    plan: Sequence[tuple[MarkedText, int]], erasers: Mapping[str, Eraser], by_layer: bool, model: Model
) -> Iterable[Row]:
    frequencies = inverse_frequencies(model, shape_of(model.config))
    check_turns(model, frequencies)
    for text, cut in plan:
        influence = Influence(model=model, frequencies=frequencies, text=text, cut=cut)
        yield from influence.of_layers() if by_layer else influence.of_erasers(erasers)


def measure_evicted(plan: Sequence[tuple[Request, int]], job: Job, model: Model) -> Iterable[Row]:
    """The method runs up to the last cut of each text."""
    last: dict[str, int] = {}
    for text, cut in plan:
        last[text.sample] = max(cut, last.get(text.sample, 0))
    texts = {text.sample: text for text, _ in plan}
    begun = [each._replace(completion=joined(each)[len(each.prompt) : last[name] + 1]) for name, each in texts.items()]
    engine = partial(job.engine, seed=job.config["seed"], attention=job.attention, storage=job.storage)
    gone = gone_from(model, job.policy, begun, engine, int(job.config["engine"]["batch_size"]))
    found = list(chain.from_iterable(of_method(model, text, gone[text.sample], cut) for text, cut in plan))
    if not found:
        raise ValueError(f"nothing was evicted before any cut: raise after={plan[-1][1]}, or lower the budget")
    return found
