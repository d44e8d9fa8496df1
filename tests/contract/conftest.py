"""The methods that a test is held for: `method` all that were chosen, `compressing` those with a budget, `evicting`.

`stored` is a method in a cache that packs, and so are some of the `watched`: all, where slow tests are asked for.
"""

import pytest
import torch
from kvarena.contract.options import GIVEN
from kvarena.contract.policies import ours, packed, policy_of, storage_of, watched_packed
from kvarena.contract.tiny_model import build_tiny_model
from kvarena.contract.watching import watch
from kvarena.runners.job.errors import USER_ERRORS, one_line

torch.set_num_threads(1)  # of tensors this small a second thread makes nothing faster

AMONG = {
    "method": lambda policy: True,
    "compressing": lambda policy: policy.evicts or policy.selects,
    "evicting": lambda policy: policy.evicts,
    "stored": lambda policy: True,
    "watched": lambda policy: policy.evicts,
}
PACKED = {"stored": packed, "watched": lambda plain: plain | watched_packed(plain)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in AMONG.keys() & set(metafunc.fixturenames):
        try:
            given = metafunc.config.getoption(GIVEN, None)
            there = dict.fromkeys((method for method in given or ours() if AMONG[name](policy_of(method))), True)
            if name in PACKED and not given:
                there = PACKED[name](there)
        except USER_ERRORS as error:
            raise pytest.Collector.CollectError(f"--method: {one_line(error)}") from error
        watches = name == "watched"
        params = [pytest.param(each, marks=[] if quick else [pytest.mark.slow]) for each, quick in there.items()]
        metafunc.parametrize(name, params, indirect=watches, scope="module" if watches else "function")


@pytest.fixture(scope="session")
def model():
    return build_tiny_model()


@pytest.fixture(scope="module")
def watched(request, model):
    """What watch(model, policy, storage) saw."""
    return watch(model, policy_of(request.param), storage_of(request.param))
