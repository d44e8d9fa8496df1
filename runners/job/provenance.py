"""Where a result comes from: code, versions, device, and hashes of what was asked."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ...tasks.task import Sample
from ..generate import Request

PACKAGES = ("kvarena", "torch", "transformers", "tokenizers", "triton", "flash-attn", "hydra-core", "numpy", "ray")
# what may differ between two calls that go on with one run
VOLATILE = ("output_dir", "runs_dir", "dry_run", "workers", "num_workers", "ray", "logger", "grading_s", "share")
# keys that came after runs had been made without them, with the value that means what was done then
ADDED: dict[str, Any] = {
    "sampler.repetition_penalty": 1.0,
    "sampler.no_repeat_ngram_size": 0,
    "sampler.suppress_tokens": [],
}
DRIVER = Path("/proc/driver/nvidia/version")


def digest(value: Any) -> str:
    """sha256 of a JSON value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def identity(labels: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Two runs of one identity are one run: the same records."""
    return digest([labels, {key: value for key, value in of_before(config).items() if key not in VOLATILE}])


def of_before(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Without the keys that came later, where they say what was done before."""
    return {
        key: of_before(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in config.items()
        if not (f"{prefix}{key}" in ADDED and value == ADDED[f"{prefix}{key}"])
    }


def samples_digest(samples: Iterable[Sample]) -> str:
    return digest([[sample.id, sample.question, sample.target] for sample in samples])


def prompts_digest(requests: Iterable[Request]) -> str:
    return digest(
        [[request.sample, list(request.prompt), *map(list, filter(None, [request.completion]))] for request in requests]
    )


def commit() -> tuple[str | None, bool | None]:
    """Commit of the code and whether files differ from it; None where the code is no git checkout."""

    def git(*arguments: str) -> str:
        folder = Path(__file__).resolve().parent
        command = subprocess.run(
            ["git", "--no-optional-locks", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
        return command.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def driver() -> str | None:
    """Of the NVIDIA kernel module; None where there is none."""
    return DRIVER.read_text().splitlines()[0] if DRIVER.exists() else None


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
