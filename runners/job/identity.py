"""Which commands are one run.

A run may grow, and who does the work and where is nobody's business; what is left of its config is its identity. Runs
of before keep the identity that they were given: run.json says by which rule, and where it does not, by the first.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

VERSION = 2
# what may differ between two calls that go on with one run
VOLATILE = (
    *("output_dir", "runs_dir", "dry_run", "workers", "num_workers", "ray", "logger", "grading_s", "share"),
    *("accept_changed", "lengths", "tensor_parallel"),
)
# what a run may have more or less of; by the first rule these were of its identity
ROWS = ("batch_size", "look", "narrow", "prompts_at_once")
GROWING = ("num_samples", "num_draws", *(f"engine.{name}" for name in ROWS))
METHODS = ("method", "method.of", "method.of.of")  # where a method's settings stand, in a wrapper or two
# keys that came after runs had been made without them, with the value that means what was done then
ADDED: dict[str, Any] = {
    "sampler.repetition_penalty": 1.0,
    "sampler.no_repeat_ngram_size": 0,
    "sampler.suppress_tokens": [],
    "engine.capture_prompts": False,
    "engine.narrow": False,
    "engine.prompts_at_once": 1,
    "compression.share": None,
    **dict.fromkeys((f"{method}.beside_recent" for method in METHODS), False),
    **{f"{method}.aggregate": {"_target_": "kvarena.methods.aggregate.Mean"} for method in METHODS},
    **{f"{method}.weight": {"_target_": "kvarena.methods.weight.Unweighted"} for method in METHODS},
    "compression.bytes": None,
    "cache": {
        "_target_": "kvarena.runners.cache.Storage",
        "residual": 0,
        "keys": {"_target_": "kvarena.kernels.pack.Plain"},
        "values": {"_target_": "kvarena.kernels.pack.Plain"},
    },
}
NAMES = ("cache",)  # labels that say in short what the config says


def digest(value: Any) -> str:
    """sha256 of a JSON value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def identity(labels: Mapping[str, Any], config: Mapping[str, Any], version: int = VERSION) -> str:
    """Two runs of one identity are one run: the same records, as far as both go."""
    labels = decisive(labels)
    if version == 1:
        return digest([labels, of_before({key: value for key, value in config.items() if key not in VOLATILE})])
    return digest([whole(labels), facts(config)])


def differences(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The keys that keep two run.json from being one run, with both values."""
    then, now = ({"method": run["labels"]["method"]} | facts(run["config"]) for run in (there, asked))
    if then == now:
        then, now = (whole(decisive(run["labels"])) for run in (there, asked))
    keys = [key for key in {**now, **then} if then.get(key, "nothing") != now.get(key, "nothing")]
    return [f"{key}: {said(then, key)} there, {said(now, key)} asked" for key in keys]


def decisive(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name: label for name, label in labels.items() if name not in NAMES}


def said(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False).strip('"') if key in values else "nothing"


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides, flat: {"sampler.temperature": 0.6}."""
    kept = {key: value for key, value in of_before(config).items() if key not in VOLATILE}
    return {key: value for key, value in flat(whole(kept)) if key not in GROWING}


def of_before(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Without the keys that came later, where they say what was done before."""
    return {
        key: of_before(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not (f"{prefix}{key}" in ADDED and value == ADDED[f"{prefix}{key}"])
    }


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, part in value.items():
        if isinstance(part, Mapping) and part:
            yield from flat(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part


def whole(value: Any) -> Any:
    """Numbers that are equal are written alike: 2.0 as 2."""
    if isinstance(value, Mapping):
        return {key: whole(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
