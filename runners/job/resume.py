"""Whether a command may go on with the run that a folder holds, and what run.json then says.

A run may have more or fewer samples, and more draws, than before: what both have is compared record by record.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

from ...tasks.task import Sample
from ..generate import Request
from ..record import Labels, Record, RunFolder
from . import provenance
from .fingerprint import changes, listed
from .identity import differences, identity

KINDS = ("weights", "tokenizer", "code")
# of run.json: how far the run goes, and what was asked
EXTENT = ("num_samples", "num_draws", "data_sha256", "prompts_sha256", "option_orders")
ADVICE = "choose another folder, or delete this one"


def begun_before(place: Path, stem: str, labels: Mapping[str, Any], config: Mapping[str, Any]) -> Path | None:
    """The folder of a run that an earlier rule named: of this very command, or the largest that it goes on with."""
    found = []
    for path in sorted(place.glob(f"{escape(stem)}-??????")):
        try:
            run = RunFolder(path=path).run()
            if identity(run["labels"], run["config"]) == identity(labels, config):
                exact = run["identity"] == identity(labels, config, version=1)
                found.append((exact, run["num_samples"] * run["num_draws"], path))
        except (OSError, ValueError, KeyError):
            continue  # whatever that is, it is not this run
    return max(found)[-1] if found else None


def done(
    folder: RunFolder,
    run: Mapping[str, Any],
    samples: Sequence[Sample],
    requests: Sequence[Request],
    accepted: Collection[str],
) -> set[tuple[str, int]]:
    """What a folder holds of a run, whose header is given; a folder of something else is refused."""
    folder.refuse_strangers()
    if not folder.run_file.exists():
        return set()
    there, records = folder.run(), folder.records()
    refuse_config(folder, there, run)
    refuse_samples(folder, records, samples, requests)
    if any(record.prompt_sha is None for record in records):  # of before records knew their prompts
        refuse_sums(folder, there, samples, requests)
    refuse_changes(folder, run["fingerprints"], accepted)
    return {record.key for record in records}


def refuse_config(folder: RunFolder, there: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    Labels.read(there, folder.run_file)
    if "config" not in there:
        raise ValueError(f"{folder.run_file} lacks config: move the run away")
    if identity(there["labels"], there["config"]) != run["identity"]:
        what = listed(differences(there, run))
        raise ValueError(f"output_dir={folder.path} holds a run of another config ({what}): {ADVICE}")


def refuse_samples(
    folder: RunFolder, records: Sequence[Record], samples: Sequence[Sample], requests: Sequence[Request]
) -> None:
    """What is there must answer what is asked now."""
    asked, targets = {request.key: request for request in requests}, {sample.id: sample.target for sample in samples}
    if foreign := {record.key for record in records} - asked.keys():
        raise ValueError(f"{folder.records_file} holds a sample that is not of this run: {min(foreign)}")
    for record in records:
        request, target = asked[record.key], targets[record.sample]
        if record.target != target:
            refuse_other_samples(folder, record.sample)
        sha = provenance.prompt_sha(request.prompt, target) if record.prompt_sha else None
        forced = [list(request.completion), record.token_ids] if request.completion else [0, 0]
        if record.prompt_sha != sha or record.prompt_tokens != len(request.prompt) or forced[0] != forced[1]:
            refuse_other_prompts(folder, record.sample)


def refuse_sums(
    folder: RunFolder, there: Mapping[str, Any], samples: Sequence[Sample], requests: Sequence[Request]
) -> None:
    """The same for all samples at once, as run.json has it."""
    samples = samples[: there["num_samples"]]
    ids = {sample.id for sample in samples}
    then = [request for request in requests if request.sample in ids and request.draw < there["num_draws"]]
    if there.get("data_sha256", now := provenance.samples_digest(samples)) != now:
        refuse_other_samples(folder)
    if there.get("prompts_sha256", now := provenance.prompts_digest(then)) != now:
        refuse_other_prompts(folder)


def refuse_other_samples(folder: RunFolder, name: str = "") -> None:
    of = f" ({name})" if name else ""
    raise ValueError(f"output_dir={folder.path} holds a run of other samples of the same name{of}: {ADVICE}")


def refuse_other_prompts(folder: RunFolder, name: str = "") -> None:
    of = f"template or tokenizer, {name}" if name else "template or tokenizer"
    raise ValueError(f"output_dir={folder.path} holds a run of other prompts to the same samples ({of}): {ADVICE}")


def refuse_changes(folder: RunFolder, now: Mapping[str, Mapping[str, str]], accepted: Collection[str]) -> None:
    """What a run was made of must be as it was, but for the kinds that are accepted."""
    for kind, names in changes(folder.run().get("fingerprints", {}), now).items():
        if kind not in accepted:
            raise ValueError(
                f"output_dir={folder.path}: {kind} changed since this run began ({listed(names)}): "
                f"accept_changed={kind} goes on with it as it is now; or choose another folder"
            )


def begin(folder: RunFolder, run: Mapping[str, Any], accepted: Collection[str]) -> None:
    """Write run.json, or what it says now that it did not say before; the weights have been read."""
    if not folder.run_file.exists():
        folder.begin(run)
        return
    refuse_changes(folder, run["fingerprints"], accepted)
    there, num_records = folder.run(), len(folder.records())
    if missing := unrecorded(there):
        print(f"{folder.path}: {', '.join(missing)} of its first records: not recorded", flush=True)
    prints: dict[str, dict[str, str]] = there.get("fingerprints", {})
    changed = [
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "records": num_records,
            "kind": kind,
            "before": {name: prints[kind].get(name) for name in names},
            "after": {name: run["fingerprints"][kind].get(name) for name in names},
        }
        for kind, names in changes(prints, run["fingerprints"]).items()
    ]
    news = {key: run[key] for key in EXTENT if there.get(key) != run[key]}
    if run["batch_variant"] and not there.get("batch_variant"):
        news["batch_variant"] = True
    if changed:
        news["accepted_changes"] = [*there.get("accepted_changes", []), *changed]
        news["fingerprints"] = prints | {change["kind"]: run["fingerprints"][change["kind"]] for change in changed}
    if news:
        folder.note(**news)


def unrecorded(run: Mapping[str, Any]) -> list[str]:
    """What nobody wrote down of what a run was made of."""
    return [kind for kind in KINDS if not run.get("fingerprints", {}).get(kind)]
