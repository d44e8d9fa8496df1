"""Times every Triton kernel at the shape of one Qwen3-14B layer on a GPU, each only after it has equalled its twin.

    python scripts/speed/every_kernel.py              # all
    python scripts/speed/every_kernel.py attend drop  # or some

One line a kernel: median time in a CUDA graph, the bytes that it must move over that time, and the share of the copy
bandwidth that this is, measured first in the same process.
"""

import sys

import torch
from kvarena.runners.job.errors import run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.speed import copy_bandwidth
from round import eviction, randomness, scores
from selection import selection
from step import attention, layers, step_writes
from triton.testing import do_bench_cudagraph


def main(names: list[str]) -> None:
    torch.manual_seed(0)
    copy = copy_bandwidth(find_device("cuda")) / 1e9
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: copy {copy:.0f} GB/s")
    times, kernels = {}, set()
    for cases in (layers, step_writes, attention, selection, eviction, scores, randomness):
        for case in cases():
            kernels.add(kernel := case.name.split()[0])
            if names and kernel not in names:
                continue
            case.check()
            ms = times[case.name] = do_bench_cudagraph(case.run, return_mode="median")
            rate = case.num_bytes / ms / 1e6
            share = f"  {ms / times[case.beside]:6.1%} of {case.beside}" if case.beside in times else ""
            print(
                f"{case.name:24s} {1e3 * ms:9.1f} us  {rate:6.0f} GB/s  {rate / copy:6.1%} of copy{share}", flush=True
            )
    if unknown := sorted({*names} - kernels):
        raise ValueError(f"no kernel {', '.join(unknown)}: use some of {', '.join(sorted(kernels))}")


if __name__ == "__main__":
    run_script(lambda: main(sys.argv[1:]))
