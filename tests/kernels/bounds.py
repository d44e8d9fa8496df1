"""In Triton's interpreter each access of a kernel is held against the memory of its arguments: a sanitizer for CPUs.

What lies outside of all of them ends the test; on a GPU it would be another tensor's, or the end of the process.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from torch import Tensor

NOWHERE = np.iinfo(np.int64).min  # the end of the span of what lies before all of them


def spans(arguments: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """First byte and the one behind the last."""
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from spans(argument)
        elif isinstance(argument, Tensor):
            memory = argument.untyped_storage()
            yield memory.data_ptr(), memory.data_ptr() + memory.nbytes()


def outside(addresses: np.ndarray, size: int, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Those of `addresses`, of `size` bytes each, that no span holds."""
    return addresses[addresses + size > ends[np.searchsorted(begins, addresses, side="right")]]


def watch(patch: pytest.MonkeyPatch) -> None:
    """From here on, as long as the patch holds."""
    from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, _get_np_dtype

    running: dict[str, Any] = {}
    begin = GridExecutor._init_args_hst

    def noted(self: Any, arguments: Any, named: Any) -> Any:
        own, other = begin(self, arguments, named)
        begins, ends = np.array(sorted({*spans(own), *spans(other.values())}), dtype=np.int64).reshape(-1, 2).T
        running.update(kernel=self.fn.__name__, spans=(begins, np.insert(ends, 0, NOWHERE)))
        return own, other

    def held(name: str, pointers: int, mask: int) -> None:
        work = getattr(InterpreterBuilder, name)

        def checked(self: Any, *arguments: Any, **named: Any) -> Any:
            at, kind = arguments[pointers].data, arguments[pointers].get_element_ty()
            counts = np.broadcast_to(arguments[mask].data, at.shape).astype(bool)
            size = np.dtype(_get_np_dtype(kind)).itemsize
            if len(stray := outside(at[counts].astype(np.int64), size, *running["spans"])):
                raise IndexError(f"{running['kernel']}: {name} of {len(stray)} numbers outside of what it was given")
            return work(self, *arguments, **named)

        patch.setattr(InterpreterBuilder, name, checked)

    patch.setattr(GridExecutor, "_init_args_hst", noted)
    held("create_masked_load", pointers=0, mask=1)
    held("create_masked_store", pointers=0, mask=2)
    held("create_atomic_rmw", pointers=1, mask=3)
