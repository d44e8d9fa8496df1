"""What was typed, or swept over, beside what a config says by itself: a default may give way, what is typed may not."""

from collections.abc import Iterable, Mapping
from typing import Any

from .job import Job


def typed(overrides: Iterable[str]) -> dict[str, str]:
    """By key; of a key that is typed twice the last."""
    words = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value for key, equals, value in words if equals}


def refuse_ratio_and_bytes(overrides: Iterable[str]) -> None:
    """A ratio that nobody typed gives way to bytes."""
    words = typed(overrides)
    ways = {key: words.get(key, "null") for key in ("compression.ratio", "compression.bytes")}
    if "null" not in ways.values():
        given = " and ".join(f"{key}={value}" for key, value in ways.items())
        raise ValueError(f"{given}: use one of them, the other is null")


def refuse_ignored(overrides: Iterable[str], config: Mapping[str, Any], sweeps: bool) -> None:
    """What would change nothing, of one combination of a sweep or of a run."""
    refuse_level(overrides, config)
    refuse_cluster(overrides, config)
    if not sweeps:
        refuse_share(**config["share"])


def refuse_level(overrides: Iterable[str], config: Mapping[str, Any]) -> None:
    """The same cell would be run once more, under another identity."""
    if not config["levels"] and (level := typed(overrides).get("difficulty")) is not None:
        raise ValueError(f"difficulty={level}: task {config['task']['name']} has no difficulties, leave it out")


def refuse_rows(overrides: Iterable[str]) -> None:
    """Of a benchmark, whose own key says how many rows there are."""
    if (rows := typed(overrides).get("engine.batch_size")) is not None:
        raise ValueError(f"engine.batch_size={rows}: of a benchmark it is batch_size={rows}")


def refuse_idle(overrides: Iterable[str], config: Mapping[str, Any]) -> None:
    """Of a benchmark, what another key leaves nothing to say."""
    words = typed(overrides)
    if "longest" in words and config["batch_size"] is not None:
        given = f"longest={words['longest']} beside batch_size={config['batch_size']}"
        raise ValueError(f"{given}: it says how many rows batch_size=null takes, leave it out")
    if "regret" in words and not config["gate"]:
        raise ValueError(f"regret={words['regret']} beside gate=0, which compares nothing: leave it out")


def refuse_share(index: int, of: int) -> None:
    """Of one combination, which no processes split."""
    if (index, of) != (0, 1):
        raise ValueError(f"share.index={index} share.of={of}: only a sweep (-m) has shares, leave them out")


def refuse_cluster(overrides: Iterable[str], config: Mapping[str, Any]) -> None:
    """Of workers that are no cluster's."""
    address = typed(overrides).get("ray.address", "null")
    if address != "null" and "address" not in config["workers"]:
        raise ValueError(f"ray.address={address} is for workers=ray: give that, or leave it out")


def say_draws(overrides: Iterable[str], job: Job) -> None:
    """A sweep over draws has dense in it, which says the same each time."""
    asked, draws = typed(overrides).get("num_draws"), job.config["num_draws"]
    if asked is not None and asked != str(draws):
        print(f"{job.title}: num_draws={asked} becomes {draws}, for neither method nor sampler draws", flush=True)
