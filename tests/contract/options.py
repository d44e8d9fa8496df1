"""The option of the suite; pytest loads this wherever kvarena is installed, so it does nothing for other suites."""

from collections.abc import Sequence

import pytest

GIVEN = "kvarena_methods"


def pytest_load_initial_conftests(parser: pytest.Parser, args: Sequence[str]) -> None:
    if any("contract" in word for word in args):
        parser.getgroup("kvarena").addoption(
            "--method",
            action="append",
            dest=GIVEN,
            metavar="NAME",
            help="hold this method to the contract, also several times; a name, or DIR/method/NAME.yaml",
        )
