"""A command of kvarena, called in this process."""

import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def call(monkeypatch, tmp_path, capsys) -> Callable[..., tuple[int, str]]:
    """call(main, ...): in an empty folder; exit code and what went to stderr."""
    monkeypatch.chdir(tmp_path)

    def run(main, *overrides):
        monkeypatch.setattr(sys, "argv", ["kvarena", *overrides])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    return run
