"""The run whose completions are forced: they must be forced through the very model that said them.

By name it was asked for already; here by the hashes of weights and tokenizer, as far as run.json has them, and by the
prompts of its records.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...tasks.task import Sample
from ..generate import Request
from ..record import RunFolder
from . import provenance
from .fingerprint import changes, listed
from .fingerprint.changes import Fingerprints

MODEL = ("weights", "tokenizer")


def check_reference(path: str, samples: Sequence[Sample], requests: Sequence[Request], now: Fingerprints) -> None:
    """ValueError for one that was asked, or said, otherwise; of what its run did not record the name has to do."""
    refuse_prompts_asked_otherwise(path, samples, requests)
    refuse_other_model(path, now)
    prints: dict[str, Any] = RunFolder(path=Path(path)).run().get("fingerprints", {})
    if unknown := [kind for kind in MODEL if not prints.get(kind)]:
        print(f"reference={path}: {', '.join(unknown)} not recorded, it goes by the name of its model", flush=True)


def refuse_other_model(path: str, now: Fingerprints) -> None:
    """ValueError where the weights or the tokenizer of now are not those that said what run.json is of."""
    header = RunFolder(path=Path(path)).run()
    for change in header.get("accepted_changes", []):
        if change["kind"] in MODEL:
            names = listed(sorted(change["after"]))
            raise ValueError(
                f"reference={path} went on with other {change['kind']} ({names}), so two models said it: run dense anew"
            )
    there: dict[str, Any] = header.get("fingerprints", {})
    for kind, names in changes({kind: there.get(kind, {}) for kind in MODEL}, now).items():
        raise ValueError(
            f"reference={path} is of other {kind} ({listed(names)}): give the model.path that it was made with, or "
            "run dense anew"
        )


def refuse_prompts_asked_otherwise(path: str, samples: Sequence[Sample], requests: Sequence[Request]) -> None:
    """ValueError where the task, its template or the chat template has changed since."""
    prompts, targets = {one.key: one.prompt for one in requests}, {one.id: one.target for one in samples}
    for record in RunFolder(path=Path(path)).stream():
        prompt = prompts.get(record.key)
        if prompt is None or record.prompt_sha is None:
            continue
        if record.prompt_sha != provenance.prompt_sha(prompt, targets[record.sample]):
            raise ValueError(
                f"reference={path} answers another prompt of {record.sample}: the task or its template has changed "
                "since, run dense anew"
            )
