# pyright: reportAttributeAccessIssue=false
"""Programmatic dependent launch (NVIDIA, from Hopper on): a kernel is set up while the one before it ends.

A kernel that is launched with `OVERLAP` calls `begin` before it reads what another has written, and before it writes.
"""

import torch
import triton
import triton.language as tl

ABLE = not triton.knobs.runtime.interpret and torch.cuda.is_available() and torch.cuda.get_device_capability() >= (9, 0)
ON = tl.constexpr(ABLE)
OVERLAP = {"launch_pdl": True} if ABLE else {}


@triton.jit
def begin() -> None:
    """Let the next kernel be set up, then wait for the one before this, as the next waits for this one."""
    if ON:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()


@triton.jit
def prefetch(pointers: tl.tensor) -> None:
    """Bring the lines of memory that these point to into the L2 cache."""
    if ON:
        tl.inline_asm_elementwise(
            "prefetch.global.L2 [$1]; mov.b32 $0, 0;",
            "=r,l",
            [pointers.to(tl.int64, bitcast=True)],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
