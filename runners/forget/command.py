"""kvarena-forget: does eviction forget? Spans, or what a method evicted, on texts that dense has said."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import hydra
from annotated_types import MinLen
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pydantic import NonNegativeInt, PositiveInt

from ..fidelity import with_texts
from ..job import Job, build
from ..job.errors import one_line_errors, run_command
from ..job.job import find_device
from ..job.made_of import made_of, weights
from ..job.reference import check_reference
from ..job.schema import Section, check_plain, checked
from ..job.sweep import in_share, refuse_no_share
from ..job.typed import refuse_share, typed
from ..record import make_folder
from .eraser import Eraser
from .results import folder_of, influence_table, write_origin, write_rows
from .spans import Span
from .work import Work, of_evicted, of_spans

# of a run: one process here decodes what is forced, grades nothing and does not go on
UNUSED = ("workers", "num_workers", "ray", "tensor_parallel", "logger", "lengths", "accept_changed", "grading_s")


@dataclass(frozen=True, kw_only=True)
class Forgetting(Section):
    """The keys of conf/forget.yaml beside those of an evaluation."""

    span: Span
    erasers: dict[str, Eraser]
    after: Annotated[list[NonNegativeInt], MinLen(1)]
    recent: PositiveInt
    by_layer: bool


class Quiet(Callback):
    """In place of a sweep's summary: each combination prints its own."""

    def __init__(self, file: str) -> None: ...


def forget(config: DictConfig, overrides: Sequence[str], method: str, span: str, number: int | None = None) -> str:
    """Measure and write; says where, and what came out: nothing where that of its sweep is another process's."""
    job, known = read_config(with_texts(config, overrides), method)
    refuse_unused(overrides)
    if not is_ours(number, **job.config["share"]):
        return ""
    if job.policy.selects:
        raise ValueError(f"method={method} evicts nothing: give method=full, or one that evicts")
    if job.policy.evicts and (said := [each for each in overrides if each.startswith(("span", "by_layer", "erasers"))]):
        raise ValueError(f"{said[0]} beside method={method}, which says itself what it evicts: leave one out")
    job.check()
    work = work_of(job, known)
    names = {"method": job.labels.named} if job.policy.evicts else {"span": span}
    folder = folder_of(job, method if job.policy.evicts else span, known)
    if job.config["dry_run"]:
        return f"{folder}: {work.cuts} of {len(job.samples) * len(known['after'])} texts and cuts are long enough"
    make_folder(folder, "output_dir")
    start, device = time.perf_counter(), find_device(job.config["device"])
    rows = [{**names, **row} for row in work.measure(job.checkpoint.load(device))]
    write_rows(folder, rows)
    write_origin(folder, job, known, device, time.perf_counter() - start)
    return f"{influence_table(rows)}\nwritten to {folder}"


def refuse_unused(overrides: Sequence[str]) -> None:
    """ValueError for what a run of kvarena takes, and nothing here."""
    for key, value in typed(overrides).items():
        if key.partition(".")[0] in UNUSED:
            raise ValueError(f"{key}={value}: kvarena-forget makes nothing of it, leave it out")


def is_ours(number: int | None, index: int, of: int) -> bool:
    """Whether a combination, of a sweep by its number, is for this process."""
    if number is None:
        refuse_share(index, of)
        return True
    refuse_no_share(index, of)
    return in_share(number, index, of)


def read_config(config: DictConfig, method: str) -> tuple[Job, dict[str, Any]]:
    """The job, and the keys that an evaluation does not know."""
    own = list(Forgetting.__dataclass_fields__)
    known = OmegaConf.masked_copy(config, own)
    check_plain(Forgetting, known)
    rest = OmegaConf.masked_copy(config, [str(key) for key in config if key not in own])
    return build(rest, method), checked(Forgetting, known)


def work_of(job: Job, known: dict[str, Any]) -> Work:
    """Of the first draw of each sample, in the words of the model that said them."""
    tokenizer = job.checkpoint.tokenizer()
    requests = job.requests(tokenizer)
    own = weights(job.checkpoint)
    if reference := job.config.get("reference"):
        now = made_of(job.config, job.checkpoint) | {"weights": own}
        check_reference(reference, job.samples, requests, now)
    first = [request for request in requests if request.draw == 0]
    return of_evicted(first, job, known) if job.policy.evicts else of_spans(first, tokenizer, known, own)


@hydra.main(version_base="1.3", config_path="pkg://kvarena.conf", config_name="forget")
def application(config: DictConfig) -> None:
    context = HydraConfig.get()
    choices = context.runtime.choices
    with one_line_errors():
        number = context.job.num if context.mode == RunMode.MULTIRUN else None
        if said := forget(config, list(context.overrides.task), choices["method"], choices["span"], number):
            print(said, flush=True)


def main() -> None:
    run_command(application)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
