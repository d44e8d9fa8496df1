"""Triton kernels run on the GPU where there is one, and in Triton's interpreter where not."""

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The interpreter gets a dot of bfloat16 wrong."""
    if "dtype" in metafunc.fixturenames:
        half = torch.bfloat16 if torch.cuda.is_available() else torch.float16
        metafunc.parametrize("dtype", [torch.float32, half], ids=str)
