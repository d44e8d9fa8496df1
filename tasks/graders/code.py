"""A program that has to pass every test of its problem, each in a sandbox of its own.

Outputs are compared here, outside: a program never sees what is expected of it.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from textwrap import dedent
from typing import Any

from ..livecodebench import Test, decode_tests
from ..sandbox import NoSandbox, ProgramOutcome, Sandbox, probe
from ..task import Grade
from ..thought import UNFINISHED, after_thought, unfinished
from .completion import EMPTY, last_program


@dataclass(frozen=True, kw_only=True)
class CodeGrader:
    """The last block of code after the thought. Rows without tests, or without a sandbox, stay ungraded."""

    sandbox: Sandbox = field(default_factory=Sandbox)
    num_workers: int = 4  # tests of a program at a time; not more than there are cores

    def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = EMPTY) -> Grade:
        program = dedent(last_program(after_thought(completion)))
        try:
            tests, function = decode_tests(meta)
        except ValueError as error:
            return Grade(score=None, answer=program, note=f"error: {error}")
        if not tests:
            return Grade(score=None, answer=program, note="no tests: this problem cannot be graded")
        if not program.strip():
            return Grade(score=0.0, answer="", note=UNFINISHED if unfinished(completion) else "no closed block of code")
        try:
            probe(self.sandbox)
            for number, fault in enumerate(self._faults(program, tests, function), 1):
                if fault:
                    return Grade(score=0.0, answer=program, note=f"test {number} of {len(tests)}: {fault}")
        except NoSandbox as error:
            return Grade(score=None, answer=program, note=str(error))
        return Grade(score=1.0, answer=program)

    def _faults(self, program: str, tests: list[Test], function: str) -> Iterator[str]:
        """In the order of the tests; those not begun when a fault is found are never run."""

        def fault(test: Test) -> str:
            return find_fault(self.sandbox.run(program, test.input, function), test.output, bool(function))

        with ThreadPoolExecutor(self.num_workers) as pool:
            try:
                yield from pool.map(fault, tests)
            finally:
                pool.shutdown(cancel_futures=True)


def find_fault(outcome: ProgramOutcome, expected: str, is_value: bool) -> str:
    """Why a test is not passed; empty if it is. `is_value`: the output is a JSON value, not text."""
    if outcome.fault:
        return outcome.fault
    if not is_value:
        return "" if same_output(outcome.stdout, expected) else "wrong output"
    try:
        result, wanted = (json.loads(text, parse_int=Decimal) for text in (outcome.stdout, expected))  # of any length
        return "" if result == wanted else "wrong result"
    except (ValueError, RecursionError):
        return "no result"


def same_output(output: str, expected: str) -> bool:
    """Line by line without the spaces around them; a line of numbers may write them otherwise (1.0 for 1)."""
    lines, wanted = (text.strip().split("\n") for text in (output, expected))
    return len(lines) == len(wanted) and all(map(_same_line, lines, wanted))


def _same_line(line: str, wanted: str) -> bool:
    if line.strip() == wanted.strip():
        return True
    try:
        return [Decimal(word) for word in line.split()] == [Decimal(word) for word in wanted.split()]
    except InvalidOperation:
        return False
