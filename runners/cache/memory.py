"""What a row takes of a device's memory, how many fit, and what an error looks like when they do not."""

import gc
import re
from pathlib import Path

import torch

from ...methods.policy import Policy
from .cache import KVCache
from .shape import Shape
from .storage import PLAIN, Storage

SPARE = 2 * 2**30  # bytes at most left free beside weights and cache: activations, logits, graphs
# by whom an allocation may be refused beside PyTorch's own allocator: the CPU's, the driver, cuBLAS, Triton
SIGNS = (
    "DefaultCPUAllocator: ",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "[CUDA]: out of memory",
)


def shortage(error: BaseException) -> str | None:
    """What an error, or one that led to it, says of too little memory; None: it says something else."""
    cause: BaseException | None = error
    while cause is not None:
        message = str(cause)
        if isinstance(cause, torch.OutOfMemoryError) or any(sign in message for sign in SIGNS):
            return message.split("\n")[0]
        cause = cause.__cause__ or cause.__context__  # a capture that breaks has an error of its own
    return None


def row_bytes(
    policy: Policy,
    shape: Shape,
    dtype: torch.dtype,
    *,
    longest_prompt: int,
    longest: int,
    storage: Storage = PLAIN,
) -> int:
    """Cache of one row, as it is first set up: an unbounded layer grows later."""
    one = KVCache(
        policy=policy,
        shape=shape,
        batch_size=1,
        longest_prompt=longest_prompt,
        longest=longest,
        dtype=dtype,
        device=torch.device("meta"),
        storage=storage,
    )
    return sum(layer.slot_bytes * layer.room.slots + layer.row_bytes for layer in one.layers)


def largest_batch(row: int, device: torch.device) -> int:
    """Rows of so many bytes that fit in what is free now; 0: none."""
    free = free_bytes(device)
    return (free - min(SPARE, free // 8)) // row


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    (kilobytes,) = re.findall(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return int(kilobytes) * 1024


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int:
    """Allocated at most since the reset; 0: not known."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def reclaim() -> None:
    """Give the device back what nothing refers to any more."""
    gc.collect()
    torch.cuda.empty_cache()
