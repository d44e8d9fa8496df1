"""In Triton's interpreter each access of a kernel is held against the numbers of its arguments: a sanitizer for CPUs.

What lies outside of all of them ends the test, though it be in the memory that a view is a part of; on a GPU it would
be another tensor's, or the end of the process. What lies inside of the wrong one, or of the right one at another
place, such as the next head's first slot, is not seen.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from torch import Tensor

NOWHERE = np.iinfo(np.int64).min  # the end of the span of what lies before all of them


def spans(arguments: Iterable[Any]) -> Iterator[tuple[int, int]]:
    """First byte and the one behind the last, of each piece that a view has in one."""
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from spans(argument)
        elif isinstance(argument, Tensor) and argument.numel():
            size = argument.element_size()
            length, begins = size, np.array([argument.data_ptr()])
            for stride, count in sorted(zip(argument.stride(), argument.shape, strict=True)):
                if stride * size <= length and len(begins) == 1:
                    length += stride * size * (count - 1)
                else:
                    begins = np.add.outer(begins, stride * size * np.arange(count)).ravel()
            yield from zip(begins.tolist(), (begins + length).tolist(), strict=True)


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
        # one may lie within another that ends behind it
        ends = np.maximum.accumulate(np.insert(ends, 0, NOWHERE))
        running.update(kernel=self.fn.__name__, spans=(begins, ends))
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
