"""The methods that a test is held for: `method` all that were chosen, `compressing` those with a budget, `evicting`."""

import pytest
import torch
from kvarena.contract.options import GIVEN
from kvarena.contract.policies import ours, policy_of
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.contract.watching import watch
from kvarena.runners.job.errors import USER_ERRORS, one_line

torch.set_num_threads(1)  # of tensors this small a second thread makes nothing faster

AMONG = {
    "method": lambda policy: True,
    "compressing": lambda policy: policy.evicts or policy.selects,
    "evicting": lambda policy: policy.evicts,
    "watched": lambda policy: policy.evicts,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in AMONG.keys() & set(metafunc.fixturenames):
        try:
            methods = metafunc.config.getoption(GIVEN, None) or ours()
            there = [method for method in methods if AMONG[name](policy_of(method))]
        except USER_ERRORS as error:
            raise pytest.Collector.CollectError(f"--method: {one_line(error)}") from error
        watches = name == "watched"
        metafunc.parametrize(name, there, indirect=watches, scope="module" if watches else "function")


@pytest.fixture(scope="session")
def model():
    return build_tiny_model()


@pytest.fixture(scope="module")
def watched(request, model):
    """What watch(model, policy) saw."""
    return watch(model, policy_of(request.param))
