"""Triton kernels run on the GPU where there is one, and in Triton's interpreter where not."""

from collections.abc import Iterator

import pytest
import torch

from . import bounds


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session", autouse=True)
def accesses_within_bounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if not torch.cuda.is_available():
            bounds.watch(patch)
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The interpreter gets a dot of bfloat16 wrong."""
    if "dtype" in metafunc.fixturenames:
        half = torch.bfloat16 if torch.cuda.is_available() else torch.float16
        metafunc.parametrize("dtype", [torch.float32, half], ids=str)
