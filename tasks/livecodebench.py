"""LiveCodeBench: rows of its release, or of a file of prompts alone; and its tests, decoded without trusting them.

Jain et al. 2024, arXiv 2403.07974. The prompts are those of its own runner, so that scores can be compared.
"""

import base64
import io
import json
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from .sample import Sample

ENCODED = ("public_test_cases", "private_test_cases", "metadata")
OPENING = (
    "You will be given a question (problem specification) and will generate a correct Python program that matches the "
    "specification and passes all tests.\n\nQuestion: "
)
READS_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```\n\n"
)
HAS_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters.\n```python\n{starter}\n```\n\n"
)


class Test(NamedTuple):
    input: str  # stdin, or a JSON value a line for a function
    output: str


@dataclass(frozen=True, kw_only=True)
class LiveCodeBench:
    difficulty: str | None = "medium"  # other problems of the release are left out; null: none is

    def __call__(self, row: Mapping[str, Any], place: int) -> Sample | None:
        if self.difficulty and row.get("difficulty", self.difficulty) != self.difficulty:
            return None
        question = row["prompt"] if "prompt" in row else prompt(row["question_content"], row["starter_code"])
        meta = {key: row[key] for key in ENCODED if key in row}
        return Sample(id=str(row["question_id"]), question=question, target="", meta=meta)


def prompt(question: str, starter: str) -> str:
    ending = HAS_STARTER.replace("{starter}", starter) if starter else READS_STDIN
    return f"{OPENING}{question}\n\n{ending}"


def decode_tests(meta: Mapping[str, Any]) -> tuple[list[Test], str]:
    """All tests, the public ones first, and the function that they call (empty: programs that read stdin)."""
    try:
        tests = [test for key in ENCODED[:2] for test in _decode(meta.get(key) or "[]")]
        function = json.loads(meta.get("metadata") or "{}").get("func_name") or ""
        return [Test(test["input"], test["output"]) for test in tests], function
    except (ValueError, TypeError, AttributeError, LookupError, EOFError, zlib.error, pickle.UnpicklingError) as error:
        raise ValueError(f"tests cannot be read: {error}") from error


def _decode(text: str) -> list[dict[str, str]]:
    """JSON, or base64 of zlib of a pickle of JSON."""
    if not text.lstrip().startswith("["):
        text = _OnlyText(io.BytesIO(zlib.decompress(base64.b64decode(text)))).load()
    return json.loads(text)


class _OnlyText(pickle.Unpickler):
    """A pickled string needs no class; a pickle that asks for one wants to run something."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise ValueError(f"private tests ask for {module}.{name}: the file has been tampered with")
