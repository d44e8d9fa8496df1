"""The fingerprints of a job: of its weights, its tokenizer, its code, and what its cache has learned."""

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download

from ..model import Checkpoint
from .calibrated import calibration_of
from .fingerprint import TOKENIZER, background, code, fingerprint, weight_files

FORCING = "kvarena.runners.fidelity"  # compares what a method says with dense, where texts are forced


def made_of(config: Mapping[str, Any], checkpoint: Checkpoint) -> dict[str, dict[str, str]]:
    """All but the weights, which take longer."""
    folder = place(checkpoint)
    forced = config.get("reference") or config.get("texts")
    return {
        "tokenizer": fingerprint(folder, TOKENIZER) if folder else {},
        "code": code(config, [FORCING] if forced else []),
        **calibration_of(config),
    }


def weights(checkpoint: Checkpoint) -> dict[str, str]:
    """None where they are not on this machine."""
    folder = place(checkpoint)
    return fingerprint(folder, weight_files(folder)) if folder else {}


def weights_beside(checkpoint: Checkpoint) -> Callable[[], dict[str, str]]:
    """Read a folder while something else is done, and wait when called; the hub's may not be there before that."""
    work = partial(weights, checkpoint)
    return background(work).result if Path(checkpoint.source).is_dir() else work


def stamp(checkpoint: Checkpoint) -> Hashable:
    """What tells weights from those that lay in the same place before, without reading them."""
    folder = place(checkpoint)
    paths = [path for pattern in weight_files(folder) for path in folder.glob(pattern)] if folder else []
    return tuple((str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths))


def place(checkpoint: Checkpoint) -> Path | None:
    """Its folder, or that of its revision in the hub's cache."""
    if Path(checkpoint.source).is_dir():
        return Path(checkpoint.source)
    try:
        return Path(snapshot_download(checkpoint.source, revision=checkpoint.revision, local_files_only=True))
    except (OSError, ValueError):
        return None
