"""The calibration of a run's cache: it must be of the very model that runs, and the same for all of its records."""

from collections.abc import Mapping
from typing import Any

from ..cache import file_of, read_calibration
from .fingerprint import changes, fingerprint, listed
from .fingerprint.changes import Fingerprints


def calibration_of(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Its fingerprint, where a cache has one."""
    name = (config.get("cache") or {}).get("calibration")
    if name is None:
        return {}
    file = file_of(name)
    return {"calibration": fingerprint(file.parent, [file.name])}


def refuse_foreign_calibration(config: Mapping[str, Any], weights: Mapping[str, str]) -> None:
    """ValueError where it is not of these weights; what is not known on both sides is not compared."""
    name = (config.get("cache") or {}).get("calibration")
    if name is None:
        return
    there: Fingerprints = {"weights": read_calibration(name).facts.get("fingerprints", {}).get("weights", {})}
    for names in changes(there, {"weights": weights}).values():
        raise ValueError(
            f"cache.calibration={name} is of other weights ({listed(names)}): make one of this model with "
            "kvarena-calibrate"
        )
