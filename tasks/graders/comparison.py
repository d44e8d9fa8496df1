"""The worker of the math grader: reads [target, answer, seconds] a line, writes {score, note} a line.

Sympy can sit in C code, deaf to Python's signal handlers, so the alarm that ends a comparison has none: it ends the
process, and whoever asked starts another.
"""

import json
import logging
import resource
import signal
import sys
from typing import Any

from .equality import equal

MEMORY = 4 << 30  # bytes of address space


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
