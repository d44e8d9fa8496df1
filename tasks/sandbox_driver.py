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

# what the release's own checker, and the site its starter code is from, import before a program
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
        resource.setrlimit(getattr(resource, name), (limit, limit))


def main() -> None:
    job = json.loads(sys.argv[1])
    drop_rights(job["uid"], job["limits"])
    site.setquit()  # exit() and quit(), which Python leaves out with its other site packages
    sys.argv = ["/program.py"]
    sys.setrecursionlimit(50_000)
    program = types.ModuleType("__main__")
    program.__file__ = "/program.py"
    sys.modules["__main__"] = program
    with open("/program.py", encoding="utf-8") as file:
        source = file.read()
    answers = os.dup(1)
    if job["function"]:
        os.dup2(2, 1)
        arguments = [json.loads(line) for line in sys.stdin.read().splitlines() if line.strip()]
    exec(PRELUDE, program.__dict__)
    exec(compile(source, "/program.py", "exec"), program.__dict__)
    if job["function"]:
        space = program.__dict__
        owner = space["Solution"]() if "Solution" in space else program
        result = getattr(owner, job["function"])(*arguments)
        os.write(answers, json.dumps(result).encode())


if __name__ == "__main__":
    main()
