"""Runs inside the sandbox, never outside: gives up rights, then runs /program.py or calls its function.

Argument: JSON of uid (null: stay who you are), limits (name to number) and function (empty: the program reads stdin).
A function gets a JSON value a line of stdin; its result is the JSON on stdout, and what it prints goes to stderr.
"""

import json
import os
import resource
import site
import sys
import types

# contest sites import these for a program, and many a program relies on it
PRELUDE = """
import bisect, collections, copy, datetime, functools, heapq, itertools, json, math, operator, random, re, string, sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import *
from string import *
from typing import *
from builtins import *
"""


def drop_rights(uid: int | None, limits: dict[str, int]) -> None:
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    for name, limit in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))


def load() -> types.ModuleType:
    """Run the program as the main module."""
    site.setquit()  # exit() and quit(), which come with the site packages that are left out
    sys.argv = ["/program.py"]
    sys.setrecursionlimit(50_000)
    program = types.ModuleType("__main__")
    program.__file__ = "/program.py"
    sys.modules["__main__"] = program
    with open("/program.py", encoding="utf-8") as file:
        source = file.read()
    exec(PRELUDE, program.__dict__)
    exec(compile(source, "/program.py", "exec"), program.__dict__)
    return program


def call(function: str) -> None:
    answer = os.dup(1)
    os.dup2(2, 1)
    arguments = [json.loads(line) for line in sys.stdin.read().splitlines() if line.strip()]
    program = load()
    owner = program.Solution() if hasattr(program, "Solution") else program
    result = getattr(owner, function)(*arguments)
    os.write(answer, json.dumps(result).encode())


def main() -> None:
    job = json.loads(sys.argv[1])
    drop_rights(job["uid"], job["limits"])
    if job["function"]:
        call(job["function"])
    else:
        load()


if __name__ == "__main__":
    main()
