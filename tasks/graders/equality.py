"""The worker of the math grader: reads [target, answer, seconds] a line, writes {score, note} a line.

Sympy can sit in C code, deaf to Python's signal handlers, so the alarm that ends a comparison has none: it ends the
process, and whoever asked starts another.
"""

import json
import logging
import re
import resource
import signal
import sys
from itertools import product
from typing import Any

from math_verify import parse, verify

MEMORY = 4 << 30  # bytes of address space
BASE = re.compile(r"([0-9a-zA-Z]+)_\{?(\d+)\}?$")
PERCENT = re.compile(r"\\?%$")


def equal(target: str, answer: str) -> bool:
    target, answer = (text.strip().strip("$").strip() for text in (target, answer))
    bases = [BASE.fullmatch(text) for text in (target, answer)]
    # math-verify drops the base
    if all(bases) and bases[0].group(2) != bases[1].group(2):
        return False
    golds, answers = _readings(target, answer), _readings(answer, target)
    return any(
        verify(gold, given, timeout_seconds=None, raise_on_error=True) for gold, given in product(golds, answers)
    )


def _readings(text: str, other: str) -> list[list[Any]]:
    """Parsed; where only one side is in percent, its number and a hundredth of it both count."""
    number = PERCENT.sub("", text)
    if "\\pm" in number and "," not in number:  # math-verify knows it, but not inside a fraction
        number = ", ".join(number.replace("\\pm", sign) for sign in "+-")
    texts = [number]
    if PERCENT.search(text) and not PERCENT.search(other):
        texts.append(f"\\frac{{{number}}}{{100}}")
    return [parse(f"\\boxed{{{form}}}", parsing_timeout=None, raise_on_error=True) for form in texts]  # type: ignore[arg-type]


def judge(target: str, answer: str, seconds: float) -> dict[str, Any]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return {"score": float(equal(target, answer)), "note": ""}
    except Exception as error:  # whatever sympy raises: it is recorded, and the row stays ungraded
        return {"score": None, "note": f"error: {type(error).__name__}: {' '.join(str(error).split())[:100]}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard), hard))
    for line in sys.stdin:
        print(json.dumps(judge(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
