"""Where a result comes from: code, versions, device, and hashes of what was asked."""

import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ...tasks.task import Sample
from ..generate import Request
from .identity import digest

PACKAGES = ("kvarena", "torch", "transformers", "tokenizers", "triton", "flash-attn", "hydra-core", "numpy", "ray")
DRIVER = Path("/proc/driver/nvidia/version")


def samples_digest(samples: Iterable[Sample]) -> str:
    return digest([[sample.id, sample.question, sample.target] for sample in samples])


def prompts_digest(requests: Iterable[Request]) -> str:
    return digest(
        [[request.sample, list(request.prompt), *map(list, filter(None, [request.completion]))] for request in requests]
    )


def prompt_sha(prompt: Sequence[int], target: str) -> str:
    """What makes two rows of one sample's name the same question."""
    return digest([list(prompt), target])[:12]


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
