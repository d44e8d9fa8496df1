"""In Triton's interpreter each access of a kernel is held against the memory of its arguments: a sanitizer for CPUs.

What lies outside of all of them ends the test; on a GPU it would be another tensor's, or the end of the process.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from torch import Tensor

Spans = list[tuple[int, int]]  # first byte and the one behind the last


def spans(arguments: Iterable[Any]) -> Iterator[tuple[int, int]]:
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from spans(argument)
        elif isinstance(argument, Tensor):
            memory = argument.untyped_storage()
            yield memory.data_ptr(), memory.data_ptr() + memory.nbytes()


def outside(addresses: np.ndarray, size: int, known: Spans) -> np.ndarray:
    """Those of `addresses`, of `size` bytes each, that no span holds."""
    begins, ends = np.array(sorted(known), dtype=np.int64).reshape(-1, 2).T
    span = np.searchsorted(begins, addresses, side="right") - 1
    return addresses[(span < 0) | (addresses + size > np.append(ends, 0)[span])]


def watch(patch: pytest.MonkeyPatch) -> None:
    """From here on, as long as the patch holds."""
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, _get_np_dtype

    running: dict[str, Any] = {}
    begin = GridExecutor._init_args_hst

    def noted(self: Any, arguments: Any, named: Any) -> Any:
        own, other = begin(self, arguments, named)
        running.update(kernel=self.fn.__name__, spans=sorted({*spans(own), *spans(other.values())}))
        return own, other

    def held(name: str, pointers: int, mask: int) -> None:
        work = getattr(InterpreterBuilder, name)

        def checked(self: Any, *arguments: Any, **named: Any) -> Any:
            at, kind = arguments[pointers].data, arguments[pointers].get_element_ty()
            counts = np.broadcast_to(arguments[mask].data, at.shape).astype(bool)
            size = np.dtype(_get_np_dtype(kind)).itemsize
            if len(stray := outside(at[counts].astype(np.int64), size, running["spans"])):
                raise IndexError(f"{running['kernel']}: {name} of {len(stray)} numbers outside of what it was given")
            return work(self, *arguments, **named)

        patch.setattr(InterpreterBuilder, name, checked)

    patch.setattr(GridExecutor, "_init_args_hst", noted)
    held("create_masked_load", pointers=0, mask=1)
    held("create_masked_store", pointers=0, mask=2)
    held("create_atomic_rmw", pointers=1, mask=3)
